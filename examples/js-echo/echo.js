// Echo gives its event back. The event is a string; so is the result, or it becomes one as JSON.
function handle(event, context) {
  console.log(`attempt ${context.attempt} of ${context.request_id}`);
  return event;
}
