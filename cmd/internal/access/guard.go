package access

import (
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Guard refuses what a page on another site could make a browser send here: without keys, whoever reaches the port is
// trusted, and a browser on this machine reaches it for everybody. With keys (keyed) any host will do, for a browser does not
// send a key by itself.
func Guard(next http.Handler, keyed func() bool, refuse func(w http.ResponseWriter, r *http.Request, words string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A page may have its name resolved to this machine: what it reads here by that name is its own, to the browser.
		if !keyed() && !local(r.Host) {
			refuse(w, r, "host "+strconv.Quote(r.Host)+" is not this server")
			return
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			if words := foreign(r); words != "" {
				refuse(w, r, words)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// foreign is why a request that changes something may be another site's; "" if it is not.
func foreign(r *http.Request) string {
	if origin := r.Header.Get("Origin"); origin != "" {
		if u, err := url.Parse(origin); err != nil || !strings.EqualFold(u.Host, r.Host) {
			return "requests from " + strconv.Quote(origin) + " are not taken"
		}
	}
	if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "same-origin" && site != "none" {
		return "requests from other sites are not taken"
	}
	return ""
}

func local(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
