import type { BackEnd } from './back-end.js';
import type { PacketCase, Sample } from './cases.js';
import { Testpmd, virtioUser } from './testpmd.js';

export interface LoadSettings {
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly cpu: number;
  readonly otherCpu: number;
}

/** Bursts each port sends before it forwards what comes back: half a ring of 256. */
const CIRCULATING_BURSTS = 4;

const sleep = (seconds: number) => new Promise((resolve) => setTimeout(resolve, seconds * 1000));

/** One run of dpdk-testpmd in front of a back-end. */
export async function runPackets(
  { way, frameBytes, packed, mergeable }: PacketCase,
  backEnd: BackEnd,
  { seconds, warmupSeconds, cpu, otherCpu }: LoadSettings,
): Promise<Sample> {
  const port = { packed, mergeable, inOrder: false };
  const testpmd = await Testpmd.start({
    devices: backEnd.sockets.map((socket, i) => virtioUser({ ...port, socket }, i)),
    frameBytes,
    cpus: [otherCpu, cpu],
  });
  const run = async (wanted: number) => {
    await (way === 'null' ? testpmd.forward('txonly') : testpmd.forward('io', CIRCULATING_BURSTS));
    const startedMs = performance.now();
    const cpuBeforeMs = backEnd.cpuMs();
    await sleep(wanted);
    const cpuUsedMs = backEnd.cpuMs() - cpuBeforeMs;
    const elapsedMs = performance.now() - startedMs;
    return { ...(await testpmd.rest()), cpuUsedMs, elapsedMs };
  };
  try {
    await run(warmupSeconds);
    const { sent, received, cpuUsedMs, elapsedMs } = await run(seconds);
    const packets = way === 'null' ? sent : received;
    if (packets === 0) throw new Error('no packet went through');
    return {
      packetsPerSecond: packets / (elapsedMs / 1000),
      packetsPerCpuSecond: packets / (cpuUsedMs / 1000),
    };
  } finally {
    await testpmd.quit();
  }
}
