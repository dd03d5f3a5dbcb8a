// What was said on a page, so that it can be undone and done again.

export class Deeds {
  // `say` says the word of a deed, and answers false where it cannot be said just now.
  constructor(say) {
    Object.assign(this, { say, done: [], undone: [] });
  }

  add(deed) {
    this.done.push(deed);
    this.undone = [];
  }

  undo() {
    return this.move(this.done, this.undone, "before");
  }

  redo() {
    return this.move(this.undone, this.done, "after");
  }

  move(from, to, word) {
    const deed = from.pop();
    if (!deed) return null;
    (this.say(deed, deed[word]) === false ? from : to).push(deed);
    return deed;
  }

  get all() {
    return [...this.done, ...this.undone];
  }
}
