import { BATCHES, type Result } from './result.js';

/** One line a shape; in each batch's column pop + publish and what they are made of. */
export function formatTable(face: string, results: readonly Result[]): string {
  const shapes = [...new Set(results.map(({ shape }) => shape))];
  const head = `| ${face} | ${BATCHES.map((batch) => `batch ${batch}`).join(' | ')} |`;
  const rule = `| --- |${' --- |'.repeat(BATCHES.length)}`;
  const rows = shapes.map((shape) => {
    const cells = BATCHES.map((batch) => {
      const found = results.find((one) => one.shape === shape && one.batch === batch);
      return found === undefined ? '-' : cell(found);
    });
    return `| ${shape} | ${cells.join(' | ')} |`;
  });
  return [head, rule, ...rows].join('\n');
}

function cell({ popNs, publishNs }: Result): string {
  const sum = (popNs + publishNs).toFixed(1);
  return `${sum} (${popNs.toFixed(1)} + ${publishNs.toFixed(1)})`;
}
