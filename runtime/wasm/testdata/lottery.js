// Lottery gives what it drew and which time it was, at initialisation and after.
const began = Date.now(), drawn = Math.random();

function handle(event, context) {
  return `${drawn} ${new Date(began).toISOString()}\n${Math.random()} ${new Date().toISOString()} ${context.attempt}`;
}
