"""What the rules' examples are made of: manifests that no rule finds anything in."""

from __future__ import annotations

DIGEST = "sha256:" + "0a1b" * 16
IMAGE = f"registry.example/sentiment@{DIGEST}"

CANARY = """\
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: sentiment, namespace: sentiment}
spec:
  provider: gatewayapi:v1
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: sentiment}
  progressDeadlineSeconds: 300
  service:
    port: 8443
    trafficDistribution: PreferClose
    gatewayRefs: [{name: coalmine, namespace: coalmine}]
  analysis:
    interval: 10s
    threshold: 30
    stepWeights: [5, 10, 25, 50]
    metrics:
      - {name: backstop, interval: 1m, templateRef: {name: backstop}, thresholdRange: {max: 20}}
"""

TEMPLATE = """\
apiVersion: flagger.app/v1beta1
kind: MetricTemplate
metadata: {name: backstop, namespace: sentiment}
spec:
  provider: {type: prometheus, address: "http://judge.coalmine:8090"}
  query: coalmine_log_e_mean{namespace="{{ namespace }}", name="{{ name }}"}
"""

DEPLOYMENT = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: sentiment, namespace: sentiment}}
spec:
  selector: {{matchLabels: {{app: sentiment}}}}
  template:
    metadata: {{labels: {{app: sentiment}}}}
    spec:
      automountServiceAccountToken: false
      terminationGracePeriodSeconds: 90
      containers:
        - name: sentiment
          image: {IMAGE}
          ports: [{{name: https, containerPort: 8443}}]
          startupProbe: {{tcpSocket: {{port: https}}, periodSeconds: 2, failureThreshold: 60}}
          readinessProbe: {{tcpSocket: {{port: https}}}}
          lifecycle: {{preStop: {{sleep: {{seconds: 15}}}}}}
"""

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: judge, namespace: coalmine, labels: {app: judge}}
spec:
  selector: {app: judge}
  ports: [{name: http, port: 8090, targetPort: http}]
"""

JUDGE = f"""\
apiVersion: apps/v1
kind: Deployment
metadata: {{name: judge, namespace: coalmine}}
spec:
  selector: {{matchLabels: {{app: judge}}}}
  template:
    metadata: {{labels: {{app: judge}}}}
    spec:
      automountServiceAccountToken: false
      containers:
        - name: judge
          image: registry.example/coalmine@{DIGEST}
          ports: [{{name: http, containerPort: 8090}}]
"""

GATEWAY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: envoy}
spec: {controllerName: gateway.envoyproxy.io/gatewayclass-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: coalmine, namespace: coalmine}
spec:
  gatewayClassName: envoy
  listeners:
    - name: https
      port: 443
      protocol: HTTPS
      hostname: "*.example.com"
      allowedRoutes: {namespaces: {from: All}}
"""


def together(*parts: str) -> str:
    """Manifests as one stream."""
    return "---\n".join(parts)
