{{/* Where Superset finds Trino, and its own password. */}}
{{- define "sluice.trino.env" -}}
- name: SLUICE_TRINO_URL
  value: trino://superset@{{ include "sluice.fullname" . }}-trino:8443/lake
{{ include "sluice.secretVariable" (list . "SLUICE_TRINO_PASSWORD" "trino-password") }}
- name: SLUICE_TRINO_AUTHORITY
  value: /etc/trino-authority/authority.pem
- name: SLUICE_TRINO_SECONDS
  value: {{ .Values.trino.longestSeconds | quote }}
{{- end -}}

{{/* The certificate of who signed Trino's. */}}
{{- define "sluice.trino.authority" -}}
- name: trino-authority
  secret:
    secretName: {{ include "sluice.secret" . }}
    items:
      - {key: trino-authority.pem, path: authority.pem}
{{- end -}}

{{/* Variables of a node of Trino: the secret that nodes share, and keys that may read the lake. */}}
{{- define "sluice.trino.nodeEnv" -}}
{{ include "sluice.secretVariable" (list . "SHARED_SECRET" "trino-shared-secret") }}
{{- if .Values.lake.url }}
{{ include "sluice.superset.lakeEnv" . }}
{{- end }}
{{- end -}}

{{- define "sluice.trino.mounts" -}}
- {name: configuration, mountPath: /etc/trino}
- {name: catalogue, mountPath: /data/catalogue}
- {name: home, mountPath: /var/lib/trino}
- {name: tmp, mountPath: /tmp}
{{- if not .Values.lake.url }}
- {name: lake, mountPath: /data/lake, readOnly: true}
{{- end }}
{{- end -}}

{{/* Volumes of a node, with its part of the configuration: (list $ "coordinator"). */}}
{{- define "sluice.trino.volumes" -}}
{{- $root := index . 0 -}}
- name: configuration
  configMap:
    name: {{ include "sluice.fullname" $root }}-trino
    items:
      - {key: {{ index . 1 }}.properties, path: config.properties}
      - {key: {{ index . 1 }}-jvm.config, path: jvm.config}
      {{- range list "node.properties" "access-control.properties" "password-authenticator.properties" "rules.json" }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
      {{- range list "lake.properties" "registry.properties" }}
      - {key: {{ . }}, path: catalog/{{ . }}}
      {{- end }}
# Whose tables Trino knows: made anew with the pod.
- name: catalogue
  emptyDir: {}
- name: home
  emptyDir: {}
- name: tmp
  emptyDir: {}
{{- include "sluice.lakeVolume" $root }}
{{- end -}}

{{/* Whether a node has started; a node that has not answers, too. */}}
{{- define "sluice.trino.probes" -}}
startupProbe:
  exec:
    command: &started [sh, -c, "curl --silent --max-time 4 http://127.0.0.1:8080/v1/info | grep -q '\"starting\":false'"]
  periodSeconds: 3
  timeoutSeconds: 5
  failureThreshold: 100
readinessProbe:
  exec:
    command: *started
  periodSeconds: 10
  timeoutSeconds: 5
livenessProbe:
  httpGet: {path: /v1/info, port: internal}
  periodSeconds: 20
  timeoutSeconds: 15
  failureThreshold: 4
{{- end -}}
