package fgsapi

import (
	"net/http"
	"strings"
)

// Operation is one operation of the service.
type Operation struct {
	Name         string // as the SDKs call it
	Method, Path string
	Why          string // why it is not implemented; "" if it is

	limit  int64 // of the body, in bytes
	handle func(*Server, *call) error
}

// Implemented reports whether the operation does something here.
func (o Operation) Implemented() bool { return o.handle != nil }

// Why an operation is not implemented.
const (
	outside = "outside: not about functions and their invocations"
	refused = "refused: "
)

// Bounds of bodies, in bytes.
const (
	maxEvent  = 256 << 10 // of an asynchronous invocation (FunctionGraph's)
	maxSync   = 6 << 20   // of a synchronous one (FunctionGraph's)
	maxCode   = 70 << 20  // 50 MB of code as base64, and what is around it
	maxConfig = 256 << 10 // anything else
)

// The two roots of the paths.
const (
	fgs = "/v2/{project_id}/fgs/"
	fns = fgs + "functions"
	urn = fns + "/{function_urn}"
	tag = "/v2/{project_id}/functions"
)

// Operations is every operation of the service's version 2, in the order of the table in docs/functiongraph.md. The router is
// made from it.
func Operations() []Operation {
	do := func(name, method, path string, limit int64, handle func(*Server, *call) error) Operation {
		return Operation{Name: name, Method: method, Path: path, limit: limit, handle: handle}
	}
	no := func(why, path string, names ...string) (out []Operation) { // METHOD Name
		for _, n := range names {
			method, name, _ := strings.Cut(n, " ")
			out = append(out, Operation{Name: name, Method: method, Path: path, Why: why, limit: maxConfig})
		}
		return out
	}
	const get, post, put, del = http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete
	ops := []Operation{
		do("AsyncInvokeFunction", post, urn+"/invocations-async", maxEvent, (*Server).invokeAsync),
		do("InvokeFunction", post, urn+"/invocations", maxSync, (*Server).invokeSync),
		do("CancelAsyncInvocation", post, urn+"/cancel", maxConfig, (*Server).cancel),
		do("ListAsyncInvocations", get, urn+"/async-invocations", 0, (*Server).listInvocations),
		do("ListActiveAsyncInvocations", get, urn+"/active-async-invocations", 0, (*Server).listActive),
		do("UpdateFunctionAsyncInvokeConfig", put, urn+"/async-invoke-config", maxConfig, (*Server).setAsyncConfig),
		do("ShowFunctionAsyncInvokeConfig", get, urn+"/async-invoke-config", 0, (*Server).showAsyncConfig),
		do("DeleteFunctionAsyncInvokeConfig", del, urn+"/async-invoke-config", 0, (*Server).deleteAsyncConfig),
		do("ListFunctionAsyncInvokeConfig", get, urn+"/async-invoke-configs", 0, (*Server).listAsyncConfigs),
		do("EnableAsyncStatusLog", post, fns+"/enable-async-status-logs", maxConfig, (*Server).enableStatusLog),
		do("ShowProjectAsyncStatusLogInfo", get, fns+"/async-status-log-detail", 0, (*Server).showStatusLog),

		do("CreateFunction", post, fns, maxCode, (*Server).createFunction),
		do("ListFunctions", get, fns, 0, (*Server).listFunctions),
		do("ShowFunctionConfig", get, urn+"/config", 0, (*Server).showConfig),
		do("UpdateFunctionConfig", put, urn+"/config", maxConfig, (*Server).updateConfig),
		do("ShowFunctionCode", get, urn+"/code", 0, (*Server).showCode),
		do("UpdateFunctionCode", put, urn+"/code", maxCode, (*Server).updateCode),
		do("UpdateFunctionMaxInstanceConfig", put, urn+"/config-max-instance", maxConfig, (*Server).setMaxInstances),
		do("DeleteFunction", del, urn, 0, (*Server).deleteFunction),

		do("CreateFunctionVersion", post, urn+"/versions", maxConfig, (*Server).publish),
		do("ListFunctionVersions", get, urn+"/versions", 0, (*Server).listVersions),
		do("CreateVersionAlias", post, urn+"/aliases", maxConfig, (*Server).createAlias),
		do("ListVersionAliases", get, urn+"/aliases", 0, (*Server).listAliases),
		do("ShowVersionAlias", get, urn+"/aliases/{alias_name}", 0, (*Server).showAlias),
		do("UpdateVersionAlias", put, urn+"/aliases/{alias_name}", maxConfig, (*Server).updateAlias),
		do("DeleteVersionAlias", del, urn+"/aliases/{alias_name}", 0, (*Server).deleteAlias),

		do("UpdateFunctionReservedInstancesCount", put, urn+"/reservedinstances", maxConfig, (*Server).reserve),
		do("ListFunctionReservedInstances", get, fns+"/reservedinstances", 0, (*Server).listReserved),
		do("ListReservedInstanceConfigs", get, fns+"/reservedinstanceconfigs", 0, (*Server).listReservedConfigs),
		do("ListQuotas", get, fgs+"quotas", 0, (*Server).listQuotas),
		do("ListFunctionStatistics", get, urn+"/statistics/{period}", 0, (*Server).functionStatistics),
		do("CreateTags", post, tag+"/{function_urn}/tags/create", maxConfig, (*Server).createTags),
		do("DeleteTags", del, tag+"/{function_urn}/tags/delete", maxConfig, (*Server).deleteTags),
		do("ListFunctionTags", get, tag+"/{function_urn}/tags", 0, (*Server).listTags),
		do("ShowProjectTagsList", get, tag+"/tags", 0, (*Server).listProjectTags),
	}
	add := func(more []Operation) { ops = append(ops, more...) }
	add(no(refused+"a function's logs are in the events of its attempts", urn+"/lts-log-detail", "GET ShowLtsLogDetails"))
	add(no(refused+"a function's logs are in the events of its attempts", fns+"/enable-lts-logs", "POST EnableLtsLogs"))
	add(no(refused+"/metrics has the figures of the whole", fns+"/statistics", "GET ListStatistics"))
	add(no(refused+"ListFunctionStatistics has a function's figures", urn+"/slareports/{period}", "GET ShowFunctionMetrics"))
	add(no(refused+"no instance outlives an attempt", urn+"/instancereports", "GET ShowFuncReservedInstanceMetrics"))
	add(no(refused+"/metrics has the figures of the whole", fgs+"function/report", "GET ListFunctionAsMetric"))
	add(no(refused+"ShowFunctionCode and ShowFunctionConfig give all there is", urn+"/export", "GET ExportFunction"))
	add(no(refused+"CreateFunction takes all there is", fns+"/import", "POST ImportFunction"))
	add(no(refused+"a list of favourites is the console's", urn+"/collect/{state}", "PUT UpdateFunctionCollectState"))
	add(no(refused+"use ShowProjectTagsList and ListFunctionTags", tag+"/resource-instances/{action}", "POST ShowResInstanceInfo"))
	add(no(refused+"every attempt has a fresh instance", urn+"/snapshots/{action}", "GET ShowFuncSnapshotState", "POST UpdateFuncSnapshot"))
	add(no(refused+"trace context travels in the events", urn+"/tracing", "GET ShowTracing", "PUT UpdateTracing"))
	add(no(outside, urn+"/events", "GET ListEvents", "POST CreateEvent"))
	add(no(outside, urn+"/events/{event_id}", "GET ShowEvent", "PUT UpdateEvent", "DELETE DeleteEvent"))
	add(no(outside, urn+"/servicebridge/relation", "GET ListBridgeFunctions"))
	add(no(outside, fgs+"servicebridge/version", "GET ListBridgeVersions"))
	add(no(outside, fgs+"triggers/{function_urn}", "GET ListFunctionTriggers", "POST CreateFunctionTrigger", "DELETE BatchDeleteFunctionTriggers"))
	add(no(outside, fgs+"triggers/{function_urn}/{trigger_type_code}/{trigger_id}", "GET ShowFunctionTrigger", "PUT UpdateTrigger", "DELETE DeleteFunctionTrigger"))
	add(no(outside, fgs+"dependencies", "GET ListDependencies"))
	add(no(outside, fgs+"dependencies/version", "POST CreateDependencyVersion"))
	add(no(outside, fgs+"dependencies/{depend_id}/version", "GET ListDependencyVersion"))
	add(no(outside, fgs+"dependencies/{depend_id}/version/{version}", "GET ShowDependencyVersion", "DELETE DeleteDependencyVersion"))
	add(no(outside, fgs+"templates", "GET ListFunctionTemplate"))
	add(no(outside, fgs+"templates/{template_id}", "GET ShowFunctionTemplate"))
	add(no(outside, fgs+"application/templates", "GET ListAppTemplates"))
	add(no(outside, fgs+"application/templates/{id}", "GET ShowAppTemplate"))
	add(no(outside, fgs+"applications", "GET ListFunctionApplications", "POST CreateFunctionApp"))
	add(no(outside, fgs+"applications/{id}", "GET ShowFunctionApp", "DELETE DeleteFunctionApp"))
	add(no(outside, fgs+"vpc-endpoint", "POST CreateVpcEndpoint"))
	add(no(outside, fgs+"vpc-endpoint/{vpc_id}/{subnet_id}", "DELETE DeleteVpcEndpoint"))
	add(no(outside, fgs+"workflow-statistic", "GET ShowTenantMetric"))
	add(no(outside, fgs+"workflow-statistic/{workflow_urn}", "GET ShowWorkFlowMetric"))
	add(no(outside, fgs+"workflows", "GET ListWorkflow", "POST CreateWorkflow", "DELETE BatchDeleteWorkflows"))
	add(no(outside, fgs+"workflows/{workflow_id}", "GET ShowWorkFlow", "PUT UpdateWorkFlow"))
	add(no(outside, fgs+"workflows/{workflow_id}/callback", "POST CreateCallbackWorkflow"))
	add(no(outside, fgs+"workflows/{workflow_id}/executions", "GET ListWorkflowExecutions", "POST StartWorkflowExecution"))
	add(no(outside, fgs+"workflows/{workflow_id}/executions-history", "GET ShowWorkflowExecutionForPage"))
	add(no(outside, fgs+"workflows/{workflow_id}/executions/{execution_id}", "GET ShowWorkflowExecution"))
	add(no(outside, fgs+"workflows/{workflow_id}/executions/{execution_id}/retry", "POST RetryWorkFlow"))
	add(no(outside, fgs+"workflows/{workflow_id}/executions/{execution_id}/terminate", "POST StopWorkFlow"))
	add(no(outside, fgs+"workflows/{workflow_id}/sync-executions", "POST StartSyncWorkflowExecution"))
	return ops
}
