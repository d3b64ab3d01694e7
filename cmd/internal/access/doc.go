// Package access says who is calling, and keeps secrets.
//
// A caller proves that it has the secret of an access key, in one of two ways. It signs the request with SDK-HMAC-SHA256, as
// Huawei Cloud's SDKs and Terraform do (Sign, Verify): the secret stays with the caller, and what was signed cannot be
// changed on the way. Or it sends the secret along, as a token (Token, BearerToken, Check), which is for connections that
// nobody listens to. What a caller may do, and where secrets are stored, is not decided here.
//
// A signature does not protect everything. It is good for Window around its date, so whoever sees the request can repeat it
// as it is for that long. Headers that it does not name can be changed; the SDKs for Go do not sign the host and the content
// type. And by its rules some requests have one signature: with and without a slash at the end of the path, and with the
// parameters of the query in another order, also the values of one parameter. A handler must not tell these apart in a way
// that matters.
//
// A Sealer encrypts what a node stores, so that who reads its files or the log learns no secret without the sealing key.
//
// No secret is in an error, in what fmt prints of these types, or in a log. Only a field that is not exported can be
// printed past that: fmt does not ask the methods of what it finds there.
package access
