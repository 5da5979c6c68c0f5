// Text from elsewhere on its way to a terminal: it must not forge a line, move the cursor or show its words in another order.

// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is replaced
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g
// biome-ignore lint/suspicious/noControlCharactersInRegex: the same without line feed and tab
const UNSEEN_IN_LINES = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+/g

/** A part of one line: a blank stands for control characters and for those that turn the direction of text. */
export function oneLine(text: string): string {
  return text.replace(UNSEEN, ' ')
}

/** The same for text of several lines, which keeps its line feeds and tabs. */
export function severalLines(text: string): string {
  return text.replace(UNSEEN_IN_LINES, ' ')
}

/** JSON with the same meaning: what JSON itself leaves as it is of those characters is written as escapes. */
export function plainJson(json: string): string {
  return json.replace(UNSEEN_IN_LINES, characters =>
    [...characters].map(character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')
  )
}
