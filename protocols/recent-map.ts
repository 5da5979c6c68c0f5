// A map that forgets: for what is remembered by names that anybody may make up, such as peer ids.

/** Holds at most `limit` entries; the one set longest ago makes room for a new one. Only for what may be forgotten without harm. */
export class RecentMap<K, V> extends Map<K, V> {
  readonly #limit: number

  constructor(limit: number) {
    super()
    this.#limit = limit
  }

  override set(key: K, value: V): this {
    this.delete(key)
    if (this.size >= this.#limit)
      for (const oldest of this.keys()) {
        this.delete(oldest)
        break
      }
    return super.set(key, value)
  }
}
