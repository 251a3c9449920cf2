// Where the page is served and not opened from disk, loads it again when its results change. What is
// shown is part of the address, and stays.

const LOOK_MS = 5000;

export function followResults() {
  if (!location.protocol.startsWith("http")) return;
  let seen = null;
  setInterval(async () => {
    const answer = await fetch("version").catch(() => null); // the server may have ended
    if (!answer?.ok) return;
    const now = await answer.text();
    if (seen !== null && now !== seen) location.reload();
    seen = now;
  }, LOOK_MS);
}
