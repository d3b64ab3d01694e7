package eventstore

// Attributes are the CloudEvents attributes and extensions of a message by their names without the prefix, and whatever
// else stands in its headers by its own name.
func Attributes(m Message) map[string]string {
	out := make(map[string]string, len(m.Headers))
	for _, h := range m.Headers {
		switch {
		case h.Key == headerContentType:
			out["datacontenttype"] = h.Value
		case len(h.Key) > 3 && h.Key[:3] == "ce_":
			out[h.Key[3:]] = h.Value
		default:
			out[h.Key] = h.Value
		}
	}
	return out
}
