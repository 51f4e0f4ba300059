// Entry of a worker thread.

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { assert } from '../assert.js';
import type { NumberedCommand, WorkerData } from './commands.js';
import { handlerFactoryOf } from './handler-module.js';
import { QueueWorker } from './queue-worker.js';

const port = parentPort;
assert(port !== null, 'worker-main runs in a worker thread only');

const data = workerData as WorkerData;

new QueueWorker({
  factory: handlerFactoryOf(await import(data.handlerModule), data.device),
  handlerOptions: data.handlerOptions,
  engine: data.engine,
  wakeFd: data.wakeFd,
  pollUs: data.pollUs,
  operationPollUs: data.operationPollUs,
  callsReported: data.callsReported,
  nextCommand: () => receiveMessageOnPort(port)?.message as NumberedCommand | undefined,
  report: (report) => port.postMessage(report),
}).run();
