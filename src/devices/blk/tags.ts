// What the data half calls its one file, and how it tells its operations apart when they come back.

/** Index of the image among the worker's files. */
export const IMAGE = 0;

export const TAG_READ = 0;
export const TAG_WRITE = 1;
/** A write that was to be on stable storage when done. */
export const TAG_DURABLE_WRITE = 2;
export const TAG_SYNC = 3;
/** Range jobs have a tag each, from here on. */
export const TAG_FIRST_RANGE = 16;
/** Tags come back as signed words. */
export const TAG_MAX = 0x7fffffff;
