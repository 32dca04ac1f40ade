// Questions to the server whose page this is.

const KEPT = "shamisen-session";

// Why the server did not answer as it should.
export class Problem extends Error {
  constructor(text, hint, status) {
    super(text);
    this.hint = hint;
    this.status = status;
  }
}

// Exchanges the secret of the address, if there is one, for what is shown with each question. A browser that has a key of a
// person, and asks the server itself, needs neither.
export async function enter() {
  const found = /^#token=([0-9a-f]{64})$/.exec(location.hash);
  if (!found) return;
  history.replaceState(null, "", location.pathname);
  const answer = await ask("/session", { method: "POST", body: found[1] });
  sessionStorage.setItem(KEPT, answer.session);
}

// Asks for something.
export function get(path) {
  const session = sessionStorage.getItem(KEPT);
  return ask(path, session ? { headers: { authorization: `Bearer ${session}` } } : {});
}

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", redirect: "error", signal: AbortSignal.timeout(20000), ...options });
  } catch {
    throw new Problem("nobody answers at this page’s address", "look whether `shamisen page`, or the server, still runs");
  }
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Problem(content.error ?? `the answer is ${answer.status}`, content.hint, answer.status);
  return content;
}
