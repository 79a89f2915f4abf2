"""What the custom resources of others may say, as far as deploy/kubernetes/ uses them.

Kubernetes' own schemas have none of these. Each was learned from the definition that its project
publishes (KEDA 2.21, Prometheus Operator 0.85); what is not listed here is refused.
"""

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
WHOLE: Schema = {"type": "integer", "minimum": 0}
DURATION: Schema = {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"}


def _object(*required: str, **properties: Schema) -> Schema:
    """Make the schema of an object that has these properties and no other."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(required),
        "properties": properties,
    }


def _list(items: Schema) -> Schema:
    return {"type": "array", "minItems": 1, "items": items}


_POLICY = _object(
    "type",
    "value",
    "periodSeconds",
    type={"enum": ["Pods", "Percent"]},
    value={"type": "integer", "minimum": 1},
    periodSeconds={"type": "integer", "minimum": 1, "maximum": 1800},
)
_RULES = _object(
    stabilizationWindowSeconds={"type": "integer", "minimum": 0, "maximum": 3600},
    policies=_list(_POLICY),
)
_TARGET = _object("name", apiVersion=TEXT, kind=TEXT, name=TEXT)
# A trigger's metadata is text by name; these are names that KEDA's Prometheus scaler knows.
_ASKED = _object(
    "serverAddress",
    "query",
    "threshold",
    serverAddress={"type": "string", "pattern": "^https?://"},
    query=TEXT,
    threshold={"type": "string", "pattern": "^[0-9]+$"},
    ignoreNullValues={"enum": ["true", "false"]},
)
_TRIGGER = _object(
    "type",
    "metadata",
    type={"const": "prometheus"},
    metricType={"enum": ["AverageValue", "Value"]},
    metadata=_ASKED,
)
_HPA = _object(behavior=_object(scaleUp=_RULES, scaleDown=_RULES))
_SCALED_OBJECT = _object(
    "scaleTargetRef",
    "triggers",
    scaleTargetRef=_TARGET,
    pollingInterval={"type": "integer", "minimum": 1},
    minReplicaCount=WHOLE,
    maxReplicaCount={"type": "integer", "minimum": 1},
    advanced=_object(horizontalPodAutoscalerConfig=_HPA),
    triggers=_list(_TRIGGER),
)
# Without an action it replaces, and without a source its replacement is all that is written.
_RELABELING = _object(
    "targetLabel",
    "replacement",
    targetLabel={"type": "string", "pattern": "^[a-zA-Z_][a-zA-Z0-9_]*$"},
    replacement=TEXT,
)
_POD_MONITOR = _object(
    "selector",
    selector=_object(matchLabels={"type": "object", "additionalProperties": TEXT}),
    podMetricsEndpoints=_list(
        _object("port", port=TEXT, path=TEXT, interval=DURATION, relabelings=_list(_RELABELING))
    ),
)


def _whole(api_version: str, kind: str, spec: Schema) -> Schema:
    labels = {"type": "object", "additionalProperties": TEXT}
    metadata = _object("name", name=TEXT, namespace=TEXT, labels=labels)
    return _object(
        *("apiVersion", "kind", "metadata", "spec"),
        apiVersion={"const": api_version},
        kind={"const": kind},
        metadata=metadata,
        spec=spec,
    )


SCHEMAS: dict[str, Schema] = {
    "ScaledObject": _whole("keda.sh/v1alpha1", "ScaledObject", _SCALED_OBJECT),
    "PodMonitor": _whole("monitoring.coreos.com/v1", "PodMonitor", _POD_MONITOR),
}
"""A JSON schema by kind."""
