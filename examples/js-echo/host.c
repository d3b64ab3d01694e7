// The host of a function in JavaScript: QuickJS, and the script that defines handle(event, context). A reactor: the script
// is evaluated once, at initialisation, and handle is called for the event. What handle throws goes to the log.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "quickjs.h"
#include "script.h" // const char script[], ending in a NUL; made by build.sh

__attribute__((import_module("deed"), import_name("context_size"))) int context_size(void);
__attribute__((import_module("deed"), import_name("context_read"))) void context_read(char *);

static JSContext *js;
static JSValue global;
static int broken;

static int complain(void) {
	JSValue e = JS_GetException(js), stack = JS_GetPropertyStr(js, e, "stack");
	fprintf(stderr, "%s\n%s", JS_ToCString(js, e), JS_IsString(stack) ? JS_ToCString(js, stack) : "");
	return 1;
}

static JSValue console_log(JSContext *c, JSValueConst self, int n, JSValueConst *args) {
	for (int i = 0; i < n; i++)
		fprintf(stderr, "%s%s", i ? " " : "", JS_ToCString(c, args[i]));
	fputc('\n', stderr);
	return JS_UNDEFINED;
}

__attribute__((constructor)) static void initialize(void) {
	js = JS_NewContext(JS_NewRuntime());
	global = JS_GetGlobalObject(js);
	JSValue console = JS_NewObject(js);
	JS_SetPropertyStr(js, console, "log", JS_NewCFunction(js, console_log, "log", 1));
	JS_SetPropertyStr(js, global, "console", console);
	if (JS_IsException(JS_Eval(js, script, strlen(script), "script.js", JS_EVAL_TYPE_GLOBAL)))
		broken = complain();
}

static char *read_all(size_t *n) {
	size_t size = 4096, got;
	char *b = malloc(size);
	for (*n = 0; b && (got = fread(b + *n, 1, size - *n - 1, stdin)) > 0;) {
		*n += got;
		if (size - *n < 2)
			b = realloc(b, size *= 2);
	}
	if (b)
		b[*n] = 0;
	return b;
}

__attribute__((export_name("deed_run"))) int deed_run(void) {
	if (broken)
		return 1;
	size_t n, m = context_size();
	char *event = read_all(&n), *context = calloc(m + 1, 1);
	if (!event || !context)
		return 1;
	context_read(context);
	JSValue args[] = {JS_NewStringLen(js, event, n), JS_ParseJSON(js, context, m, "context")};
	JSValue result = JS_Call(js, JS_GetPropertyStr(js, global, "handle"), JS_UNDEFINED, 2, args);
	JSContext *of;
	while (JS_ExecutePendingJob(JS_GetRuntime(js), &of) > 0)
		;
	if (JS_IsPromise(result)) {
		if (JS_PromiseState(js, result) == JS_PROMISE_REJECTED)
			JS_Throw(js, JS_PromiseResult(js, result)), result = JS_EXCEPTION;
		else
			result = JS_PromiseResult(js, result);
	}
	if (!JS_IsException(result) && !JS_IsString(result) && !JS_IsUndefined(result))
		result = JS_JSONStringify(js, result, JS_UNDEFINED, JS_UNDEFINED);
	if (JS_IsException(result))
		return complain();
	const char *text = JS_IsUndefined(result) ? "" : JS_ToCStringLen(js, &n, result);
	if (JS_IsUndefined(result))
		n = 0;
	return fwrite(text, 1, n, stdout) != n || fflush(stdout);
}
