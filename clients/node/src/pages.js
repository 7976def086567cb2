import { badAnswer } from './answers.js';

/**
 * The items of a list, page by page as they are asked for.
 *
 * @param {(cursor: string | undefined) => Promise<object>} readPage
 * @param {string} member the list's name in a page
 */
export async function* itemsOf(readPage, member) {
  let cursor;
  do {
    const page = await readPage(cursor);
    if (!Array.isArray(page[member])) throw badAnswer({ status: 200, headers: {} }, `the answer has no ${member}`);
    yield* page[member];
    cursor = page.nextCursor;
  } while (cursor);
}
