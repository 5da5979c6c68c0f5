// A table of events in memory, with the order of Level's.
import type { EventTable } from '../../../daemon/events.ts'
import type { NodeEvent } from '../../../protocols/control/messages.ts'

export class MemoryTable implements EventTable {
  readonly rows = new Map<string, NodeEvent>()
  full = false

  async put(key: string, value: NodeEvent) {
    if (this.full) throw new Error('no space left')
    this.rows.set(key, value)
  }

  async delete(keys: string[]) {
    for (const key of keys) this.rows.delete(key)
  }

  async *entries(range: { gt?: string; gte?: string; lt?: string; reverse?: boolean; limit?: number } = {}) {
    let keys = [...this.rows.keys()].sort()
    if (range.gt !== undefined) keys = keys.filter(key => key > range.gt!)
    if (range.gte !== undefined) keys = keys.filter(key => key >= range.gte!)
    if (range.lt !== undefined) keys = keys.filter(key => key < range.lt!)
    if (range.reverse) keys.reverse()
    for (const key of keys.slice(0, range.limit)) yield [key, this.rows.get(key)!] as [string, NodeEvent]
  }
}
