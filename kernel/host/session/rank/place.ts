/** This thread's number, from 0. */
export let rank = 0;
/** How many ranks run every cell. */
export let worldSize = 1;

/** Says which rank this thread is; before any cell runs. */
export function setPlace(place: { rank: number; worldSize: number }): void {
  rank = place.rank;
  worldSize = place.worldSize;
}
