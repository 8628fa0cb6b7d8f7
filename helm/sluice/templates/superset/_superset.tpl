{{/* What metadata are made for: nobody starts on those of another engine, either. */}}
{{- define "sluice.superset.release" -}}
{{ include "sluice.image" (list . "superset") }}{{ if .Values.trino.enabled }} with Trino{{ end }}
{{- end -}}

{{/* Variables of every Superset process. */}}
{{- define "sluice.superset.env" -}}
{{- if .Values.postgresql.enabled }}
{{ include "sluice.secretVariable" (list . "POSTGRESQL_PASSWORD" "postgresql-password") }}
- name: SLUICE_METADATA_URL
  value: postgresql+psycopg2://superset:$(POSTGRESQL_PASSWORD)@{{ include "sluice.fullname" . }}-postgresql:5432/postgres
{{- else }}
{{ include "sluice.secretVariable" (list . "SLUICE_METADATA_URL" "metadata-url") }}
{{- end }}
{{- if .Values.redis.enabled }}
{{ include "sluice.secretVariable" (list . "REDIS_PASSWORD" "redis-password") }}
- name: SLUICE_REDIS_URL
  value: redis://:$(REDIS_PASSWORD)@{{ include "sluice.fullname" . }}-redis:6379
{{- else }}
{{ include "sluice.secretVariable" (list . "SLUICE_REDIS_URL" "redis-url") }}
{{- end }}
{{ include "sluice.secretVariable" (list . "SLUICE_SUPERSET_SECRET_KEY" "superset-secret-key") }}
{{- if .Values.trino.enabled }}
{{ include "sluice.trino.env" . }}
{{- else }}
{{ include "sluice.superset.lakeEnv" . }}
{{- end }}
- name: SLUICE_LISTEN
  value: 0.0.0.0
- name: SLUICE_SUPERSET_PORT
  value: "8088"
- name: SLUICE_SUPERSET_URL
  value: http://{{ include "sluice.fullname" . }}-superset:{{ .Values.superset.service.port }}/
{{- with include "sluice.publicUrl" . }}
- name: SLUICE_SUPERSET_PUBLIC_URL
  value: {{ . | quote }}
{{- end }}
- name: SLUICE_MAIL_HOST
  value: {{ include "sluice.mailHost" . | quote }}
- name: SLUICE_MAIL_PORT
  value: {{ ternary 8025 .Values.mail.port .Values.mail.sink | quote }}
- name: SLUICE_MAIL_FROM
  value: {{ .Values.mail.from | quote }}
{{- if not .Values.mail.sink }}
- name: SLUICE_MAIL_STARTTLS
  value: {{ ternary "1" "0" .Values.mail.starttls | quote }}
{{- with .Values.mail.username }}
- name: SLUICE_MAIL_USER
  value: {{ . | quote }}
{{ include "sluice.secretVariable" (list $ "SLUICE_MAIL_PASSWORD" "mail-password") }}
{{- end }}
{{- end }}
- name: SLUICE_BROWSER_SANDBOX
  value: {{ ternary "1" "0" .Values.security.browserSandbox | quote }}
{{- range $name, $value := .Values.superset.env }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end }}
{{- end -}}

{{- define "sluice.superset.lakeEnv" -}}
{{- with .Values.lake.objectStore -}}
{{ include "sluice.lakeEnv" (list $ (default .secret .readOnlySecret)) }}
{{- end -}}
{{- end -}}

{{- define "sluice.superset.mounts" -}}
- {name: home, mountPath: /var/lib/sluice}
- {name: tmp, mountPath: /tmp}
{{- if .Values.trino.enabled }}
- {name: trino-authority, mountPath: /etc/trino-authority, readOnly: true}
{{- else if not .Values.lake.url }}
- {name: lake, mountPath: /lake, readOnly: true}
{{- end }}
{{- if not .Values.lake.url }}
- {name: lake, mountPath: /var/lib/sluice/quality, subPath: _quality, readOnly: true}
{{- end }}
{{- end -}}

{{- define "sluice.superset.volumes" -}}
- name: home
  emptyDir: {}
- name: tmp
  emptyDir: {}
{{- include "sluice.lakeVolume" . }}
{{- if .Values.trino.enabled }}
{{ include "sluice.trino.authority" . }}
{{- end }}
{{- end -}}

{{/* What must be there first: metadata of this release; the tables, and what Superset knows them by: Trino or a catalogue. */}}
{{- define "sluice.superset.initContainers" -}}
{{- if .Values.trino.enabled -}}
{{ include "sluice.superset.await" . }}
- name: trino
  {{- include "sluice.imageLines" (list . "superset") | nindent 2 }}
  {{- include "sluice.container" . | nindent 2 }}
  args: [python, superset/trino_connection.py]
  env:
    {{- include "sluice.trino.env" . | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
    - {name: trino-authority, mountPath: /etc/trino-authority, readOnly: true}
  resources:
    requests: {cpu: 20m, memory: 64Mi}
    limits: {memory: 256Mi}
{{- else -}}
{{ include "sluice.superset.tables" . }}
{{ include "sluice.superset.await" . }}
- name: catalogue
  {{- include "sluice.imageLines" (list . "superset") | nindent 2 }}
  {{- include "sluice.container" . | nindent 2 }}
  args:
    - sh
    - -ec
    - mkdir -p "$SUPERSET_HOME" && python superset/catalogue.py "$SLUICE_LAKE" "$SUPERSET_HOME/lake.duckdb"
  env:
    {{- include "sluice.superset.lakeEnv" . | nindent 4 }}
  volumeMounts:
    {{- include "sluice.superset.mounts" . | nindent 4 }}
  resources:
    requests: {cpu: 20m, memory: 128Mi}
    limits: {memory: 512Mi}
{{- end }}
{{- end -}}

{{/* The lake, for who lists its tables. */}}
{{- define "sluice.superset.lakeMounts" -}}
- {name: tmp, mountPath: /tmp}
{{- if not .Values.lake.url }}
- {name: lake, mountPath: /lake, readOnly: true}
{{- end }}
{{- end -}}

{{/* The tables are there. */}}
{{- define "sluice.superset.tables" -}}
- name: tables
  {{- include "sluice.imageLines" (list . "jobs") | nindent 2 }}
  {{- include "sluice.container" . | nindent 2 }}
  args: [sluice, await-tables]
  env:
    {{- include "sluice.superset.lakeEnv" . | nindent 4 }}
  volumeMounts:
    - {name: home, mountPath: /var/lib/sluice}
    {{- include "sluice.superset.lakeMounts" . | nindent 4 }}
  resources:
    requests: {cpu: 20m, memory: 128Mi}
    limits: {memory: 512Mi}
{{- end -}}

{{- define "sluice.superset.await" -}}
- name: metadata
  {{- include "sluice.imageLines" (list . "superset") | nindent 2 }}
  {{- include "sluice.container" . | nindent 2 }}
  args: [python, superset/initialized.py, wait, {{ include "sluice.superset.release" . | quote }}]
  env:
    {{- include "sluice.superset.env" . | nindent 4 }}
  volumeMounts:
    - {name: tmp, mountPath: /tmp}
  resources:
    requests: {cpu: 20m, memory: 32Mi}
    limits: {memory: 128Mi}
{{- end -}}
