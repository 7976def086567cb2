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
    yield* page[member];
    cursor = page.nextCursor;
  } while (cursor);
}
