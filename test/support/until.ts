// Waits for something to become true, never for ever.

const LIMIT_MS = 10_000;
const STEP_MS = 5;

export async function until(reached: () => boolean | Promise<boolean>): Promise<void> {
  const endMs = performance.now() + LIMIT_MS;
  while (!(await reached())) {
    if (performance.now() > endMs) {
      throw new Error(`did not happen in ${LIMIT_MS} ms`);
    }
    await new Promise((resolve) => setTimeout(resolve, STEP_MS));
  }
}
