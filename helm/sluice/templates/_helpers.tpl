{{- define "sluice.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "sluice.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains (include "sluice.name" .) .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "sluice.name" .) | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels by which a component's pods are found: (list $ "component"). */}}
{{- define "sluice.selector" -}}
{{- $root := index . 0 -}}
app.kubernetes.io/name: {{ include "sluice.name" $root }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* Labels of an object. Pods have the selector's alone, or every version of the chart would restart all of them. */}}
{{- define "sluice.labels" -}}
{{- $root := index . 0 -}}
{{ include "sluice.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/part-of: sluice
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
{{- end -}}

{{- define "sluice.image" -}}
{{- $root := index . 0 -}}
{{- $image := index $root.Values.image (index . 1) -}}
{{- printf "%s/%s:%s" $root.Values.image.registry $image.repository (default $root.Chart.AppVersion $image.tag) -}}
{{- end -}}

{{- define "sluice.imageLines" -}}
image: {{ include "sluice.image" . }}
imagePullPolicy: {{ (index . 0).Values.image.pullPolicy }}
{{- end -}}

{{/* Of every pod: the restricted security standard, and nothing that Kubernetes adds unasked. */}}
{{- define "sluice.pod" -}}
{{- with .Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
# Kubernetes would set SLUICE_KAFKA_PORT and the like for the Services, which mean something else to us.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: {{ .Values.security.user }}
  runAsGroup: {{ .Values.security.user }}
  fsGroup: {{ .Values.security.user }}
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile:
    type: RuntimeDefault
{{- end -}}

{{- define "sluice.container" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end -}}

{{- define "sluice.secret" -}}
{{- default (include "sluice.fullname" .) .Values.secrets.existing -}}
{{- end -}}

{{/* A variable from our Secret: (list $ "NAME" "key"). */}}
{{- define "sluice.secretVariable" -}}
- name: {{ index . 1 }}
  valueFrom:
    secretKeyRef:
      name: {{ include "sluice.secret" (index . 0) }}
      key: {{ index . 2 }}
{{- end -}}

{{- define "sluice.lakeClaim" -}}
{{- default (printf "%s-lake" (include "sluice.fullname" .)) .Values.lake.existingClaim -}}
{{- end -}}

{{- define "sluice.kafkaNodes" -}}
{{- $name := printf "%s-kafka" (include "sluice.fullname" .) -}}
{{- $nodes := list -}}
{{- range $index := until (int .Values.kafka.replicas) -}}
{{- $nodes = append $nodes (printf "%s-%d.%s-nodes.%s.svc" $name $index $name $.Release.Namespace) -}}
{{- end -}}
{{- join "," $nodes -}}
{{- end -}}

{{- define "sluice.bootstrapServers" -}}
{{- if .Values.kafka.enabled -}}
{{- printf "%s-kafka:9092" (include "sluice.fullname" .) -}}
{{- else -}}
{{- required "kafka.bootstrapServers: say where your brokers are, for kafka.enabled is false" .Values.kafka.bootstrapServers -}}
{{- end -}}
{{- end -}}

{{- define "sluice.mailHost" -}}
{{- if .Values.mail.sink -}}
{{- printf "%s-mail" (include "sluice.fullname" .) -}}
{{- else -}}
{{- required "mail.host: say which server sends mail, for mail.sink is false" .Values.mail.host -}}
{{- end -}}
{{- end -}}

{{- define "sluice.publicUrl" -}}
{{- if .Values.superset.publicUrl -}}
{{- .Values.superset.publicUrl -}}
{{- else if .Values.superset.ingress.enabled -}}
{{- printf "https://%s/" (required "superset.ingress.host: which host?" .Values.superset.ingress.host) -}}
{{- end -}}
{{- end -}}

{{/* Pods of a component do not share a node, or a zone, where there are others. */}}
{{- define "sluice.spread" -}}
topologySpreadConstraints:
  {{- range list "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
  - maxSkew: 1
    topologyKey: {{ . }}
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "sluice.selector" $ | nindent 8 }}
  {{- end }}
{{- end -}}

{{/* Where a pod may run: a map with nodeSelector, tolerations and priorityClassName, as far as it has them. */}}
{{- define "sluice.placement" -}}
{{- with .priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* Where the lake is: (list $ secret), with the Secret that has the keys of an object store. */}}
{{- define "sluice.lakeEnv" -}}
{{- $root := index . 0 -}}
{{- $secret := index . 1 -}}
{{- with $root.Values.lake -}}
- name: SLUICE_LAKE
  value: {{ default "/lake" .url | quote }}
{{- if .url }}
- name: AWS_REGION
  value: {{ .objectStore.region | quote }}
{{- with .objectStore.endpoint }}
- name: AWS_ENDPOINT_URL
  value: {{ . | quote }}
- name: AWS_ALLOW_HTTP
  value: {{ hasPrefix "http://" . | quote }}
{{- end }}
- name: AWS_ACCESS_KEY_ID
  valueFrom:
    secretKeyRef: {name: {{ $secret }}, key: access-key-id}
- name: AWS_SECRET_ACCESS_KEY
  valueFrom:
    secretKeyRef: {name: {{ $secret }}, key: secret-access-key}
{{- end }}
{{- end -}}
{{- end -}}

{{/* The volume of the lake, for `volumes`; in an object store there is none, and Data Docs stay in the pod. */}}
{{- define "sluice.lakeVolume" -}}
{{- if not .Values.lake.url }}
- name: lake
  persistentVolumeClaim:
    claimName: {{ include "sluice.lakeClaim" . }}
{{- end }}
{{- end -}}
