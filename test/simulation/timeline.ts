// What will happen, ordered by time and then by when it was planned: a binary heap.

interface Planned {
  at: number
  order: number
  run: () => void
}

export class Timeline {
  now = 0
  #heap: Planned[] = []
  #planned = 0

  at(time: number, run: () => void): void {
    const heap = this.#heap
    heap.push({ at: Math.max(time, this.now), order: this.#planned++, run })
    for (let i = heap.length - 1; i > 0; ) {
      const up = (i - 1) >> 1
      if (before(heap[up]!, heap[i]!)) break
      ;[heap[up], heap[i]] = [heap[i]!, heap[up]!]
      i = up
    }
  }

  after(delay: number, run: () => void): void {
    this.at(this.now + delay, run)
  }

  runUntil(time: number): void {
    while (this.#heap.length > 0 && this.#heap[0]!.at <= time) {
      const next = this.#pop()
      this.now = next.at
      next.run()
    }
    this.now = time
  }

  #pop(): Planned {
    const heap = this.#heap
    const top = heap[0]!
    const last = heap.pop()!
    if (heap.length > 0) {
      heap[0] = last
      for (let i = 0; ; ) {
        let least = i
        for (const child of [2 * i + 1, 2 * i + 2]) if (child < heap.length && before(heap[child]!, heap[least]!)) least = child
        if (least === i) break
        ;[heap[least], heap[i]] = [heap[i]!, heap[least]!]
        i = least
      }
    }
    return top
  }
}

function before(a: Planned, b: Planned): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}
