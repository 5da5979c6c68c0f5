// What will happen, ordered by time and then by when it was planned: a binary heap, in columns because a big mesh plans millions of things.

/** One plan may come due many times: it says when next, or that it is over. */
export interface Recurring {
  /** Does what is due and answers when it is due again, ms; infinity when it is over. */
  due(): number
}

export class Timeline {
  now = 0
  /** Things that came due. */
  happened = 0
  readonly #at: number[] = []
  readonly #order: number[] = []
  readonly #plan: ((() => void) | Recurring)[] = []
  #planned = 0

  at(time: number, run: () => void): void {
    this.#push(Math.max(time, this.now), run)
  }

  after(delay: number, run: () => void): void {
    this.at(this.now + delay, run)
  }

  /** The first time that it is due. */
  recur(time: number, plan: Recurring): void {
    if (time < Number.POSITIVE_INFINITY) this.#push(Math.max(time, this.now), plan)
  }

  runUntil(time: number): void {
    const at = this.#at
    while (at.length > 0 && at[0]! <= time) {
      this.now = at[0]!
      this.happened++
      const plan = this.#plan[0]!
      if (typeof plan === 'function') {
        this.#removeTop()
        plan()
        continue
      }
      // Planned anew before it acts: what it plans meanwhile must find the heap in order.
      this.#removeTop()
      const next = plan.due()
      if (next < Number.POSITIVE_INFINITY) this.#push(Math.max(next, this.now), plan)
    }
    this.now = time
  }

  #push(time: number, plan: (() => void) | Recurring): void {
    const order = this.#planned++
    let i = this.#at.length
    this.#at.push(time)
    this.#order.push(order)
    this.#plan.push(plan)
    while (i > 0) {
      const up = (i - 1) >> 1
      if (this.#at[up]! <= time) break
      this.#copy(up, i)
      i = up
    }
    this.#put(i, time, order, plan)
  }

  #removeTop(): void {
    const time = this.#at.pop()!
    const order = this.#order.pop()!
    const plan = this.#plan.pop()!
    const size = this.#at.length
    if (size === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= size) break
      if (child + 1 < size && this.#isBefore(child + 1, child)) child++
      const at = this.#at[child]!
      if (time < at || (time === at && order < this.#order[child]!)) break
      this.#copy(child, i)
      i = child
    }
    this.#put(i, time, order, plan)
  }

  #isBefore(a: number, b: number): boolean {
    const left = this.#at[a]!
    const right = this.#at[b]!
    return left < right || (left === right && this.#order[a]! < this.#order[b]!)
  }

  #copy(from: number, to: number): void {
    this.#put(to, this.#at[from]!, this.#order[from]!, this.#plan[from]!)
  }

  #put(at: number, time: number, order: number, plan: (() => void) | Recurring): void {
    this.#at[at] = time
    this.#order[at] = order
    this.#plan[at] = plan
  }
}
