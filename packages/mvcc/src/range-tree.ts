import type { KeyRange } from "./key-range.ts";

interface TreeNode<T> {
  readonly range: KeyRange;
  readonly values: Set<T>;
  readonly priority: number;
  left: TreeNode<T> | undefined;
  right: TreeNode<T> | undefined;
  /** The greatest end below this node; undefined is infinity. */
  max: string | undefined;
}

/**
 * Values by key range; finds all ranges that contain a key in O(log n + found). A treap ordered by start and end whose
 * nodes know the greatest end below them. Equal ranges share a node. Priorities come from a fixed sequence, so that
 * equal calls make equal trees.
 */
export class RangeTree<T> {
  #root: TreeNode<T> | undefined;
  #sequence = 1;

  add(range: KeyRange, value: T): void {
    this.#root = this.#insert(this.#root, range, value);
  }

  delete(range: KeyRange, value: T): void {
    this.#root = this.#remove(this.#root, range, value);
  }

  /** Visits the values of every range that contains `key`. */
  stab(key: string, visit: (value: T) => void): void {
    stab(this.#root, key, visit);
  }

  #insert(node: TreeNode<T> | undefined, range: KeyRange, value: T): TreeNode<T> {
    if (node === undefined) {
      this.#sequence = (Math.imul(this.#sequence, 1664525) + 1013904223) >>> 0;
      const priority = this.#sequence;
      return { range, values: new Set([value]), priority, left: undefined, right: undefined, max: range.end };
    }
    const order = compareRanges(range, node.range);
    if (order === 0) {
      node.values.add(value);
      return node;
    }
    if (order < 0) {
      node.left = this.#insert(node.left, range, value);
      if (node.left.priority > node.priority) return rotateRight(node, node.left);
    } else {
      node.right = this.#insert(node.right, range, value);
      if (node.right.priority > node.priority) return rotateLeft(node, node.right);
    }
    update(node);
    return node;
  }

  #remove(node: TreeNode<T> | undefined, range: KeyRange, value: T): TreeNode<T> | undefined {
    if (node === undefined) return undefined;
    const order = compareRanges(range, node.range);
    if (order < 0) node.left = this.#remove(node.left, range, value);
    else if (order > 0) node.right = this.#remove(node.right, range, value);
    else {
      node.values.delete(value);
      if (node.values.size === 0) return join(node.left, node.right);
    }
    update(node);
    return node;
  }
}

function stab<T>(node: TreeNode<T> | undefined, key: string, visit: (value: T) => void): void {
  if (node === undefined || (node.max !== undefined && node.max <= key)) return;
  stab(node.left, key, visit);
  const { start, end } = node.range;
  if (start > key) return;
  if (end === undefined || key < end) for (const value of node.values) visit(value);
  stab(node.right, key, visit);
}

function compareRanges(a: KeyRange, b: KeyRange): number {
  if (a.start !== b.start) return a.start < b.start ? -1 : 1;
  if (a.end === b.end) return 0;
  if (a.end === undefined) return 1;
  return b.end === undefined || a.end < b.end ? -1 : 1;
}

function update<T>(node: TreeNode<T>): void {
  let max = node.range.end;
  for (const kid of [node.left, node.right]) {
    if (kid === undefined || max === undefined) continue;
    if (kid.max === undefined || kid.max > max) max = kid.max;
  }
  node.max = max;
}

function rotateRight<T>(node: TreeNode<T>, left: TreeNode<T>): TreeNode<T> {
  node.left = left.right;
  left.right = node;
  update(node);
  update(left);
  return left;
}

function rotateLeft<T>(node: TreeNode<T>, right: TreeNode<T>): TreeNode<T> {
  node.right = right.left;
  right.left = node;
  update(node);
  update(right);
  return right;
}

/** One treap of two, all of `left` before all of `right`. */
function join<T>(left: TreeNode<T> | undefined, right: TreeNode<T> | undefined): TreeNode<T> | undefined {
  if (left === undefined) return right;
  if (right === undefined) return left;
  if (left.priority > right.priority) {
    left.right = join(left.right, right);
    update(left);
    return left;
  }
  right.left = join(left, right.left);
  update(right);
  return right;
}
