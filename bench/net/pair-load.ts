import { loadFlags, runLoadProgram } from '../common/load-program.js';
import type { BackEnd } from './back-end.js';
import type { PairCase, Sample } from './cases.js';
import type { LoadSettings } from './packet-load.js';

/** What bench/net/load-generator.cc is called with. */
export function pairArguments(
  { frameBytes, rate }: PairCase,
  { sockets: [from, to], pid }: Pick<BackEnd, 'sockets' | 'pid'>,
  { seconds, warmupSeconds, cpu }: Pick<LoadSettings, 'seconds' | 'warmupSeconds' | 'cpu'>,
): string[] {
  return loadFlags({
    from,
    to,
    'frame-bytes': frameBytes,
    rate,
    seconds,
    warmup: warmupSeconds,
    pin: cpu,
    'daemon-pid': pid,
  });
}

/** One run of our own two front-ends in front of a back-end. */
export async function runPair(
  pairCase: PairCase,
  backEnd: BackEnd,
  binary: string,
  settings: LoadSettings,
): Promise<Sample> {
  const args = pairArguments(pairCase, backEnd, settings);
  return (await runLoadProgram(pairCase.name, binary, args)) as Sample;
}
