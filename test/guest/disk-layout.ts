// How the test disk is divided. The guest script gets it on its command line; the host needs it to
// find the same bytes in the image file.

export const MIB = 1024 * 1024;

export const DISK_LAYOUT = {
  sizeMib: 96,
  partitionStartMib: 1,
  partitionMib: 64,
  /** Beyond the partition: four MiB kept, discarded, zeroed, kept. */
  rawStartMib: 72,
  /** Random and zero bytes in files. TCG makes and sums a few MiB in a second, in each boot. */
  fillMib: 4,
} as const;
