"""Judges the objects of the handlers' cases by the schemas of the Kubernetes API. cert-manager's kinds are not in them."""

import json
import pathlib
import re
import sys

import kubernetes_validate

VERSION = "1.37"
KINDS = {
    "cronjobs": "CronJob",
    "daemonsets": "DaemonSet",
    "deployments": "Deployment",
    "events": "Event",
    "horizontalpodautoscalers": "HorizontalPodAutoscaler",
    "jobs": "Job",
    "nodes": "Node",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "persistentvolumes": "PersistentVolume",
    "poddisruptionbudgets": "PodDisruptionBudget",
    "pods": "Pod",
    "replicasets": "ReplicaSet",
    "statefulsets": "StatefulSet",
    "storageclasses": "StorageClass",
}
PATH = re.compile(r"/(?:api/(v1)|apis/([^/]+/[^/]+))(?:/namespaces/[^/]+)?/([a-z]+)")


def problem(thing):
    """Returns what is wrong with an object, or None. Fields that the schema does not have are wrong too."""
    try:
        kubernetes_validate.validate(thing, VERSION, strict=True)
    except kubernetes_validate.ValidationError as error:
        place = ".".join(str(part) for part in error.path)
        return f"{place}: {error.message[:300]}"
    return None


def objects(part):
    """Yields the objects of a part of a case, each with the path by which it is read."""
    for path, answer in (part.get("kubernetes") or {}).items():
        if isinstance(answer, list):
            yield from ((path, item) for item in answer)
        elif isinstance(answer, dict):
            yield path, answer
    yield from (("/api/v1/namespaces/x/events", event) for event in part.get("events") or [])


def judge(handlers):
    judged, wrong = 0, []
    for file in sorted(pathlib.Path(handlers).glob("*/fixtures/*.json")):
        case = json.loads(file.read_text())
        for path, thing in [*objects(case), *objects(case.get("resolved") or {})]:
            core, group, resource = PATH.match(path).groups()
            version = core or group
            if "cert-manager.io" in version:
                continue
            # An item of a list has neither.
            typed = {"apiVersion": version, "kind": KINDS[resource], **thing}
            judged += 1
            if (typed["apiVersion"], typed["kind"]) != (version, KINDS[resource]):
                wrong.append(f"{file}: {path} is no {typed['apiVersion']} {typed['kind']}")
            elif found := problem(typed):
                wrong.append(f"{file}: {path} ({thing['metadata'].get('name')}): {found}")
    if wrong:
        sys.exit("\n".join(wrong))
    print(f"{judged} objects are valid")


def mistakes():
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "a"}]}}
    assert problem(pod) is None
    assert problem({**pod, "spec": {**pod["spec"], "nodename": "b"}})
    assert problem({**pod, "spec": {}})
    print("both mistakes are found")


if sys.argv[1] == "--mistakes":
    mistakes()
else:
    judge(sys.argv[1])
