package fgsapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"deed/domain"
)

// The published limits of user_data.
const (
	maxUserData  = 4 << 10 // bytes of the JSON text
	maxUserPairs = 20
)

// UserData is the environment in user_data, a JSON object in a string whose values are strings, sorted by name; "" and {} are
// none. More than 20 variables are FSS.1017, more than 4 KB FSS.1018, all else that is wrong FSS.1009. No fault repeats a value:
// it may be a secret.
func UserData(s string) ([]domain.EnvVar, error) {
	if len(s) > maxUserData {
		return nil, fault("FSS.1018", fmt.Sprintf("user_data has %d bytes; the limit is %d", len(s), maxUserData))
	}
	if strings.TrimSpace(s) == "" {
		return nil, nil
	}
	env, err := pairs(json.NewDecoder(strings.NewReader(s)))
	if err != nil {
		return nil, err
	}
	if len(env) > maxUserPairs {
		return nil, fault("FSS.1017", fmt.Sprintf("user_data has %d variables; the limit is %d", len(env), maxUserPairs))
	}
	if err := domain.CheckEnv(env); err != nil {
		if r := (*domain.Rejection)(nil); errors.As(err, &r) && r.Code == domain.CodeTooLarge {
			return nil, because("FSS.1018", err)
		}
		return nil, fault("FSS.1009", "user_data: "+err.Error())
	}
	slices.SortFunc(env, func(a, b domain.EnvVar) int { return strings.Compare(a.Name, b.Name) })
	return env, nil
}

// pairs reads one object of strings, in its order and with members that are there twice, which a map would lose.
func pairs(d *json.Decoder) ([]domain.EnvVar, *Fault) {
	broken := fault("FSS.1009", `user_data is not a JSON object, in a string, whose values are strings, like "{\"NAME\":\"value\"}"`)
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, broken
	}
	var env []domain.EnvVar
	for d.More() {
		t, err := d.Token()
		name, ok := t.(string)
		if err != nil || !ok {
			return nil, broken
		}
		if t, err = d.Token(); err != nil {
			return nil, broken
		}
		value, ok := t.(string)
		if !ok {
			return nil, fault("FSS.1009", fmt.Sprintf("user_data: the value of %q is not a string: write it in quotes", short(name, 60)))
		}
		env = append(env, domain.EnvVar{Name: name, Value: value})
	}
	if _, err := d.Token(); err != nil { // the }
		return nil, broken
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, broken
	}
	return env, nil
}
