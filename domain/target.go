package domain

import (
	"fmt"
	"strconv"
	"strings"
)

// Target is where a notification goes: "function:[PACKAGE:]NAME[:QUALIFIER]", "obs://bucket/prefix[?expires=DAYS]",
// "dis:STREAM" or "smn:TOPIC"; "" is nowhere. A function target, and a webhook topic, are in the project of the function that
// owes the notification.
type Target string

// MaxExpires is after how many days an object may be removed at the latest, if it may be at all (FunctionGraph: expires).
const MaxExpires = 365

// FunctionTarget is the target of a function with that qualifier: a version, !alias, or "" for what is newest.
func FunctionTarget(f FunctionID, qualifier string) Target {
	t := "function:"
	if f.Package != NativePackage || qualifier != "" {
		t += f.Package + ":"
	}
	t += f.Name
	if qualifier != "" {
		t += ":" + qualifier
	}
	return Target(t)
}

// Function is the target function of a notification that from owes, and its qualifier: a version, !alias, or "".
func (t Target) Function(from FunctionID) (to FunctionID, qualifier string, ok bool) {
	rest, ok := strings.CutPrefix(string(t), "function:")
	if !ok {
		return FunctionID{}, "", false
	}
	to = FunctionID{Region: from.Region, Project: from.Project, Package: NativePackage, Name: rest}
	if pkg, name, found := strings.Cut(rest, ":"); found {
		to.Package = pkg
		to.Name, qualifier, _ = strings.Cut(name, ":")
	}
	return to, qualifier, true
}

// Object is the bucket and the key prefix of an object-store target.
func (t Target) Object() (bucket, prefix string, ok bool) {
	rest, ok := strings.CutPrefix(string(t), "obs://")
	if !ok {
		return "", "", false
	}
	rest, _, _ = strings.Cut(rest, "?")
	bucket, prefix, _ = strings.Cut(rest, "/")
	return bucket, strings.Trim(prefix, "/"), true
}

// Stream is the name of a stream target, which is that of a Kafka topic.
func (t Target) Stream() (name string, ok bool) { return strings.CutPrefix(string(t), "dis:") }

// Topic is the name of a webhook topic.
func (t Target) Topic() (name string, ok bool) { return strings.CutPrefix(string(t), "smn:") }

// Expires is after how many days an object of the target may be removed; 0: never.
func (t Target) Expires() int {
	_, days, _ := strings.Cut(string(t), "?expires=")
	n, err := strconv.Atoi(days)
	if err != nil {
		return 0
	}
	return n
}

// Check returns a *Rejection if the target is not one that can be delivered to.
func (t Target) Check() error {
	if t == "" {
		return nil
	}
	if to, qualifier, ok := t.Function(NativeFunction("")); ok {
		if to.Name != "" && strings.HasSuffix(string(t), ":") {
			return reject(CodeInvalid, fmt.Sprintf("%q is not a target", clip(string(t), 80)), "a function is function:NAME, function:PACKAGE:NAME or function:PACKAGE:NAME:QUALIFIER")
		}
		if err := CheckFunctionName(to.Name); err != nil {
			return err
		}
		if err := CheckPackage(to.Package); err != nil {
			return err
		}
		return CheckQualifier(qualifier)
	}
	if name, ok := t.Stream(); ok {
		return checkStream(name)
	}
	if name, ok := t.Topic(); ok {
		return CheckTopic(name)
	}
	bucket, prefix, ok := t.Object()
	if !ok {
		return reject(CodeInvalid, fmt.Sprintf("%q is not a target", clip(string(t), 80)), "a target is function:NAME, obs://bucket/prefix, dis:STREAM or smn:TOPIC")
	}
	if !bucketName(bucket) {
		return reject(CodeInvalid, fmt.Sprintf("%q is not a bucket's name", clip(bucket, 70)), "a bucket's name has 3 to 63 lower-case letters, digits, - and ., and begins and ends with a letter or a digit")
	}
	if err := t.checkExpires(); err != nil {
		return err
	}
	if len(prefix) > 512 {
		return reject(CodeInvalid, fmt.Sprintf("the prefix has %d bytes; the limit is 512", len(prefix)), "")
	}
	if prefix == "" {
		return nil
	}
	for part := range strings.SplitSeq(prefix, "/") {
		if part == "" || part == "." || part == ".." || strings.Trim(part, nameLetters+"-_.=") != "" {
			return reject(CodeInvalid, fmt.Sprintf("%q is not an object prefix", clip(prefix, 80)), "a prefix has parts of letters, digits, - _ . and = between single slashes, none of them . or ..")
		}
	}
	return nil
}

// checkStream holds the name of a stream against what Kafka takes for a topic's.
func checkStream(name string) error {
	if name == "" || len(name) > 249 || name == "." || name == ".." || strings.Trim(name, nameLetters+"._-") != "" {
		return reject(CodeInvalid, fmt.Sprintf("%q is not a stream's name", clip(name, 80)), "a stream's name is that of a Kafka topic: 1 to 249 letters, digits, . _ and -")
	}
	return nil
}

// CheckTopic returns a *Rejection if the name is not one that a webhook topic may have.
func CheckTopic(name string) error {
	if name == "" || len(name) > 255 || strings.Trim(name, nameLetters+"_-") != "" || strings.Trim(name[:1], "_-") == "" {
		return reject(CodeInvalid, fmt.Sprintf("%q is not a topic's name", clip(name, 80)), "a topic's name has 1 to 255 letters, digits, _ and -, and begins with a letter or a digit")
	}
	return nil
}

const nameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"

func (t Target) checkExpires() error {
	_, query, found := strings.Cut(string(t), "?")
	if !found {
		return nil
	}
	days, ok := strings.CutPrefix(query, "expires=")
	n, err := strconv.Atoi(days)
	if !ok || err != nil || n < 1 || n > MaxExpires || strconv.Itoa(n) != days {
		return reject(CodeInvalid, fmt.Sprintf("%q is not after how many days objects expire", clip(query, 40)), fmt.Sprintf("write ?expires=DAYS, 1 to %d; without it they are kept", MaxExpires))
	}
	return nil
}

func bucketName(s string) bool {
	if len(s) < 3 || len(s) > 63 || strings.Contains(s, "..") {
		return false
	}
	for i, c := range []byte(s) {
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alnum && (c != '-' && c != '.' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return true
}
