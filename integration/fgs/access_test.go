package fgs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/huaweicloud/huaweicloud-sdk-go-v3/core/auth/basic"
	functiongraph "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2"
	"github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/model"
	sdkregion "github.com/huaweicloud/huaweicloud-sdk-go-v3/services/functiongraph/v2/region"
)

// TestByEnvironment: a program that was written for the service is pointed here by its environment alone.
func TestByEnvironment(t *testing.T) {
	s := keyed(t)
	t.Setenv("HUAWEICLOUD_SDK_REGION_FUNCTIONGRAPH_CN_NORTH_4", s.url())
	t.Setenv("HUAWEICLOUD_SDK_AK", s.p1.Access)
	t.Setenv("HUAWEICLOUD_SDK_SK", s.p1.Secret)
	t.Setenv("HUAWEICLOUD_SDK_PROJECT_ID", "p1")
	where, err := sdkregion.SafeValueOf("cn-north-4")
	if err != nil {
		t.Fatal(err)
	}
	h, err := functiongraph.FunctionGraphClientBuilder().WithRegion(where).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	c := &client{FunctionGraphClient: functiongraph.NewFunctionGraphClient(h), project: "p1"}
	name := nameOf(t, "f")
	urn := c.create(t, name, tiny("x"))
	if urn != c.urn(name, "latest") {
		t.Errorf("%s", urn)
	}
	// The client may well put its own region into the URN.
	foreign := strings.Replace(urn, ":"+region+":", ":cn-north-4:", 1)
	c.reach(t, foreign, c.invoke(t, foreign, object{"a": "b"}), "SUCCESS")
}

// TestSignatures: who signed is who is let in.
func TestSignatures(t *testing.T) {
	s, c := of(t)
	urn := c.create(t, nameOf(t, "f"), tiny("x"))
	show := func(c *client) error {
		_, err := c.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: urn})
		return err
	}
	wrong := s.dial(t, key{s.p1.Access, s.p1.Secret + "x"}, "p1")
	wrong.refused(t, "a wrong secret", show(wrong), 401, "FSS.0401", "access key is not known, or")
	unknown := s.dial(t, key{"AAAAAAAAAAAAAAAAAAAA", s.p1.Secret}, "p1")
	unknown.refused(t, "an unknown key", show(unknown), 401, "FSS.0401", "access key is not known, or")
	other := s.dial(t, s.p2, "p1")
	other.refused(t, "another project's key", show(other), 403, "FSS.0403", "project")
	operator := s.dial(t, s.operator, "p1")
	if err := show(operator); err != nil {
		t.Errorf("an operator: %v", err)
	}
	both, err := s.makeKey(s.operator, "--project", "p1", "--project", "p3")
	if err != nil {
		t.Fatal(err)
	}
	b := s.dial(t, both, "p1")
	if err := show(b); err != nil {
		t.Errorf("a key of two projects: %v", err)
	}
	if _, err := s.deed(s.operator, "keys", "revoke", both.Access); err != nil {
		t.Fatal(err)
	}
	b.refused(t, "a revoked key", show(b), 401, "FSS.0401", "access key is not known, or")
	if status, body := s.native(t, both, "GET", "/v1/functions", ""); status != 401 {
		t.Errorf("a revoked token: %d %s", status, body)
	}

	// A token on top of a signature changes nothing; one instead of a signature is as good, and one's own header is not
	// replaced by the SDK.
	i := c.ShowFunctionConfigInvoker(&model.ShowFunctionConfigRequest{FunctionUrn: urn})
	i.AddHeaders(map[string]string{"X-Auth-Token": s.p2.token()})
	if _, err := i.Invoke(); err != nil {
		t.Errorf("a token on top: %v", err)
	}
	i = wrong.ShowFunctionConfigInvoker(&model.ShowFunctionConfigRequest{FunctionUrn: urn})
	i.AddHeaders(map[string]string{"X-Auth-Token": s.p1.token()})
	_, err = i.Invoke()
	wrong.refused(t, "a token on top of a wrong signature", err, 401, "FSS.0401", "not signed with its secret")
	i = c.ShowFunctionConfigInvoker(&model.ShowFunctionConfigRequest{FunctionUrn: urn})
	i.AddHeaders(map[string]string{"Authorization": "Bearer " + s.p1.token()})
	_, err = i.Invoke() // the SDK then leaves {project_id} in the path
	c.refused(t, "one's own header", err, 400, "FSS.0400", "project")

	temporary, err := basic.NewCredentialsBuilder().WithAk(s.p1.Access).WithSk(s.p1.Secret).WithProjectId("p1").WithSecurityToken("anything").SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	h, err := functiongraph.FunctionGraphClientBuilder().WithEndpoint(s.url() + "/base/path/").WithCredential(temporary).SafeBuild()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := functiongraph.NewFunctionGraphClient(h).ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: urn}); err != nil {
		t.Errorf("temporary credentials, and an endpoint with a path: %v", err)
	}
}

// TestWithoutKeys: a node without keys serves its own machine, whatever it is signed with.
func TestWithoutKeys(t *testing.T) {
	t.Parallel()
	n := start(t)
	c := n.dial(t, key{}, "any-project")
	urn := c.create(t, "f", tiny("x"))
	if want := "urn:fss:local:any-project:function:default:f:latest"; urn != want {
		t.Errorf("%s, want %s", urn, want)
	}
	c.reach(t, urn, c.invoke(t, urn, nil), "SUCCESS")
	_, err := c.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: "g"})
	c.refused(t, "another", err, 404, "FSS.1051", "Not found the function")
	if r, _ := n.raw(t, key{}, "POST", "/v2/any-project/fgs/functions/f/invocations", "{}"); r.StatusCode != 200 {
		t.Errorf("without a signature: %d", r.StatusCode)
	}
	if r, b := n.raw(t, key{}, "POST", "/v2/any-project/fgs/functions/f/invocations", "{}", "Origin", "http://evil.example"); r.StatusCode != 403 || !strings.Contains(b, "FSS.0403") {
		t.Errorf("from another site: %d %s", r.StatusCode, b)
	}
	other := n.dial(t, key{}, "other-project")
	_, err = other.ShowFunctionConfig(&model.ShowFunctionConfigRequest{FunctionUrn: "f"})
	other.refused(t, "from another project", err, 404, "FSS.1051", "Not found the function")
}

// refuses starts a node that must not come up, and returns what it says.
func refuses(t *testing.T, env []string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program(t), append([]string{"serve"}, args...)...)
	cmd.Env = environment(env...)
	out, err := cmd.CombinedOutput()
	if err == nil || ctx.Err() != nil {
		t.Fatalf("it came up: %s", out)
	}
	return string(out)
}

// TestDoesNotStart: a node that would serve strangers without keys, or cannot check the keys there are, does not start.
func TestDoesNotStart(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	for _, address := range []string{"0.0.0.0:0", ":0", "[::]:0"} {
		if out := refuses(t, nil, "--data", data, "--listen", address); !strings.Contains(out, "there are no access keys") {
			t.Errorf("%s: %s", address, out)
		}
	}
	n, err := launch(data)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newStage(n)
	n.stop()
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.key")
	if err := os.WriteFile(other, []byte(strings.Repeat("5", 64)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cannot := "cannot be checked"
	if out := refuses(t, nil, "--data", data, "--listen", "127.0.0.1:0", "--seal-key", other); !strings.Contains(out, cannot) {
		t.Errorf("another key's file: %s", out)
	}
	if out := refuses(t, []string{"DEED_SEAL_KEY=" + strings.Repeat("5", 64)}, "--data", data, "--listen", "127.0.0.1:0"); !strings.Contains(out, cannot) || strings.Contains(out, "5555") {
		t.Errorf("another key in the environment: %s", out)
	}
	if out := refuses(t, []string{"DEED_SEAL_KEY=123"}, "--data", data, "--listen", "127.0.0.1:0"); !strings.Contains(out, "64 hex digits") {
		t.Errorf("no key in the environment: %s", out)
	}
	if err := os.Chmod(other, 0o644); err != nil {
		t.Fatal(err)
	}
	if out := refuses(t, nil, "--data", data, "--listen", "127.0.0.1:0", "--seal-key", other); !strings.Contains(out, "chmod 600") {
		t.Errorf("a file that others can read: %s", out)
	}

	// With its own key it starts, and then also for others than this machine; the keys are still good.
	n, err = launch(data, "--listen", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer n.stop()
	n.addr = "127.0.0.1" + n.addr[strings.LastIndex(n.addr, ":"):]
	c := n.dial(t, s.p1, "p1")
	c.create(t, "f", tiny("x"))
	for _, path := range []string{"/healthz", "/readyz"} { // ready once it owns a partition, which may take a moment
		await(t, path, func() (struct{}, bool) {
			status, _ := n.native(t, key{}, "GET", path, "")
			return struct{}{}, status == 200
		})
	}
}
