/** Resolves when `condition` holds; looks every 20 ms and rejects after `limitMs`. Gives the milliseconds it took. */
export async function until(condition: () => boolean, limitMs = 30_000): Promise<number> {
  const startedMs = performance.now()
  while (!condition()) {
    if (performance.now() - startedMs > limitMs) throw new Error(`not so within ${limitMs} ms: ${condition}`)
    await new Promise(resolve => setTimeout(resolve, 20))
  }
  return performance.now() - startedMs
}
