package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
)

// awsServer answers GetSecretValue and BatchGetSecretValue as AWS Secrets Manager
// does. It does not check signatures.
type awsServer struct {
	*httptest.Server
	secrets sync.Map // secret strings by name
}

func startAWS() *awsServer {
	s := &awsServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

func (a *awsServer) put(name, text string) { a.secrets.Store(name, text) }

func (a *awsServer) serve(w http.ResponseWriter, r *http.Request) {
	var request struct {
		SecretID     string   `json:"SecretId"`
		SecretIDList []string `json:"SecretIdList"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, "the body is not JSON", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	switch r.Header.Get("X-Amz-Target") {
	case "secretsmanager.GetSecretValue":
		if value, ok := a.value(request.SecretID); ok {
			writeJSON(w, http.StatusOK, value)
			return
		}
		writeJSON(w, http.StatusBadRequest, map[string]any{"__type": "ResourceNotFoundException"})
	case "secretsmanager.BatchGetSecretValue":
		values, failures := []any{}, []any{}
		for _, name := range request.SecretIDList {
			if value, ok := a.value(name); ok {
				values = append(values, value)
			} else {
				failures = append(failures,
					map[string]any{"SecretId": name, "ErrorCode": "ResourceNotFoundException"})
			}
		}
		writeJSON(w, http.StatusOK, map[string]any{"SecretValues": values, "Errors": failures})
	default:
		writeJSON(w, http.StatusBadRequest, map[string]any{"__type": "UnknownOperationException"})
	}
}

func (a *awsServer) value(name string) (map[string]any, bool) {
	text, ok := a.secrets.Load(name)
	return map[string]any{
		"ARN": "arn:aws:secretsmanager:ap-southeast-2:123456789012:secret:" + name +
			"-AbCdEf",
		"Name":         name,
		"VersionId":    "00000000-0000-0000-0000-000000000001",
		"SecretString": text,
	}, ok
}

// vaultServer answers reads of a KV version 2 engine mounted at "secret" as Vault
// does.
type vaultServer struct {
	*httptest.Server
	secrets sync.Map // the data of secrets by path
	sealed  atomic.Bool
}

// vaultToken is the only token that the server accepts.
const vaultToken = "not-a-real-token"

func startVault() *vaultServer {
	s := &vaultServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	return s
}

func (v *vaultServer) put(path string, data map[string]any) { v.secrets.Store(path, data) }

func (v *vaultServer) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	path, isRead := strings.CutPrefix(r.URL.Path, "/v1/secret/data/")
	data, found := v.secrets.Load(path)
	switch {
	case v.sealed.Load():
		writeJSON(w, http.StatusServiceUnavailable,
			map[string]any{"errors": []string{"Vault is sealed"}})
	case r.Header.Get("X-Vault-Token") != vaultToken:
		writeJSON(w, http.StatusForbidden, map[string]any{"errors": []string{"permission denied"}})
	case r.Method != http.MethodGet || !isRead || !found:
		writeJSON(w, http.StatusNotFound, map[string]any{"errors": []string{}})
	default:
		writeJSON(w, http.StatusOK, map[string]any{"data": map[string]any{
			"data": data, "metadata": map[string]any{"version": 1, "destroyed": false,
				"deletion_time": ""},
		}})
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a failure means that the client has gone
}
