/** Where a page's text is. */

/** Returns a URL without its fragment, which a server never sees. */
export function withoutFragment(url: string): string {
  return url.split("#")[0] ?? url;
}

/** Returns the fragment of a URL, decoded; `undefined` if it has none. */
export function fragmentOf(url: string): string | undefined {
  const fragment = url.slice(withoutFragment(url).length + 1);
  if (fragment === "") return undefined;
  try {
    return decodeURIComponent(fragment);
  } catch {
    return fragment;
  }
}

/** Returns the address of the file itself for a page of GitHub or GitLab that shows a file. */
export function rawUrl(url: string): string {
  const github = /^https:\/\/github\.com\/([^/]+\/[^/]+)\/(?:blob|tree)\/(.+\.(?:md|markdown))$/i.exec(url);
  if (github) return `https://raw.githubusercontent.com/${github[1]}/${github[2]}`;
  return url.replace(/^(https?:\/\/[^/]+\/.+?)\/-\/blob\/(.+\.(?:md|markdown))$/i, "$1/-/raw/$2");
}
