//! The objects of a scenario, as the Kubernetes API writes them.

use serde_json::{Value, json};

use super::scenario::{CrashLoop, Workload};
use super::time::rfc3339;

impl CrashLoop {
    fn ago(&self, seconds: i64) -> String {
        rfc3339(self.now - seconds)
    }

    fn ready(&self) -> u32 {
        if self.is_recovered { 3 } else { 2 }
    }

    fn labels(&self) -> Value {
        json!({
            "app.kubernetes.io/name": self.workload_name,
            "app.kubernetes.io/part-of": "customer",
            "owner": "team-ingest",
            "pod-template-hash": "9b75b488c",
        })
    }

    fn container_status(&self) -> Value {
        let last_ended = 130;
        let terminated = json!({
            "containerID": "containerd://0c9d6df2a1f4d2f0bb1ff7f0d2c9d6b1a3b5c7d9e1f30517395b7d9fb1d3f517",
            "exitCode": self.exit_code,
            "finishedAt": self.ago(last_ended),
            "reason": self.reason,
            "startedAt": self.ago(last_ended + self.ran_seconds),
        });
        let waiting_message = format!(
            "back-off 5m0s restarting failed container={} pod={}_{}({})",
            self.container, self.pod, self.namespace, self.uid
        );
        let state = if self.is_recovered {
            json!({ "running": { "startedAt": self.ago(60) } })
        } else {
            json!({ "waiting": { "message": waiting_message, "reason": "CrashLoopBackOff" } })
        };
        json!({
            "containerID": "containerd://0c9d6df2a1f4d2f0bb1ff7f0d2c9d6b1a3b5c7d9e1f30517395b7d9fb1d3f517",
            "image": self.image,
            "imageID": format!("{}@sha256:4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945", self.image),
            "lastState": { "terminated": terminated },
            "name": self.container,
            "ready": self.is_recovered,
            "restartCount": self.restarts,
            "started": self.is_recovered,
            "state": state,
        })
    }

    fn container_spec(&self) -> Value {
        json!({
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "name": self.container,
            "livenessProbe": {
                "failureThreshold": 3, "httpGet": { "path": "/healthz", "port": 8080, "scheme": "HTTP" },
                "periodSeconds": 10, "successThreshold": 1, "timeoutSeconds": 1,
            },
            "resources": { "limits": { "memory": "512Mi" }, "requests": { "cpu": "250m", "memory": "512Mi" } },
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "volumeMounts": [{
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
                "name": "kube-api-access-6x9zk", "readOnly": true,
            }],
        })
    }

    fn owner_references(&self) -> Value {
        let (api_version, kind, name) = match self.workload {
            Workload::Deployment => ("apps/v1", "ReplicaSet", self.replica_set()),
            Workload::StatefulSet => ("apps/v1", "StatefulSet", self.workload_name.clone()),
            Workload::DaemonSet => ("apps/v1", "DaemonSet", self.workload_name.clone()),
            Workload::Job => ("batch/v1", "Job", self.workload_name.clone()),
            Workload::None => return json!([]),
        };
        json!([{
            "apiVersion": api_version, "blockOwnerDeletion": true, "controller": true, "kind": kind, "name": name,
            "uid": "b6e7a9f2-5d0f-4f0c-8a57-9e1d6b3f2c11",
        }])
    }

    pub(super) fn pod_json(&self) -> Value {
        let ready = if self.is_recovered { "True" } else { "False" };
        let (containers, statuses) = if self.is_init_container {
            ("initContainers", "initContainerStatuses")
        } else {
            ("containers", "containerStatuses")
        };
        let mut pod = json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "annotations": { "prometheus.io/scrape": "true" },
                "creationTimestamp": self.ago(self.rollout_seconds_ago - 4),
                "generateName": format!("{}-", self.replica_set()),
                "labels": self.labels(),
                "name": self.pod,
                "namespace": self.namespace,
                "ownerReferences": self.owner_references(),
                "resourceVersion": "81734412",
                "uid": self.uid,
            },
            "spec": {
                "dnsPolicy": "ClusterFirst",
                "enableServiceLinks": true,
                "nodeName": "ip-10-0-4-17.us-west-1.compute.internal",
                "priority": 0,
                "restartPolicy": "Always",
                "schedulerName": "default-scheduler",
                "serviceAccountName": "rs-transformer",
                "terminationGracePeriodSeconds": 30,
            },
            "status": {
                "conditions": [
                    { "lastProbeTime": null, "lastTransitionTime": self.ago(self.rollout_seconds_ago - 4),
                      "status": "True", "type": "Initialized" },
                    { "lastProbeTime": null, "lastTransitionTime": self.ago(130), "status": ready, "type": "Ready",
                      "message": format!("containers with unready status: [{}]", self.container),
                      "reason": "ContainersNotReady" },
                    { "lastProbeTime": null, "lastTransitionTime": self.ago(self.rollout_seconds_ago - 4),
                      "status": "True", "type": "PodScheduled" },
                ],
                "hostIP": "10.0.4.17",
                "phase": if self.is_init_container && !self.is_recovered { "Pending" } else { "Running" },
                "podIP": "10.0.6.203",
                "podIPs": [{ "ip": "10.0.6.203" }],
                "qosClass": "Burstable",
                "startTime": self.ago(self.rollout_seconds_ago - 4),
            },
        });
        pod["spec"][containers] = json!([self.container_spec()]);
        pod["status"][statuses] = json!([self.container_status()]);
        if self.is_init_container {
            let mut main = self.container_spec();
            main["name"] = json!("rs-transformer");
            pod["spec"]["containers"] = json!([main]);
            pod["status"]["containerStatuses"] = json!([{
                "image": self.image, "imageID": "", "lastState": {}, "name": "rs-transformer", "ready": self.is_recovered,
                "restartCount": 0, "started": false, "state": { "waiting": { "reason": "PodInitializing" } },
            }]);
        }
        pod
    }

    fn replica_set(&self) -> String {
        format!("{}-9b75b488c", self.workload_name)
    }

    pub(super) fn workload_objects(&self) -> Vec<(String, Value)> {
        let (group, resource, kind) = match self.workload {
            Workload::Deployment => ("apps/v1", "deployments", "Deployment"),
            Workload::StatefulSet => ("apps/v1", "statefulsets", "StatefulSet"),
            Workload::DaemonSet => ("apps/v1", "daemonsets", "DaemonSet"),
            Workload::Job => ("batch/v1", "jobs", "Job"),
            Workload::None => return Vec::new(),
        };
        let folder = format!("/apis/{group}/namespaces/{}", self.namespace);
        let mut found = vec![(
            format!("{folder}/{resource}/{}", self.workload_name),
            self.workload_json(group, kind),
        )];
        if self.workload == Workload::Deployment {
            let before = format!("{}-6c8df5f7b4", self.workload_name);
            let weeks = 21 * 86_400;
            for (name, image, revision, age, replicas) in [
                (
                    self.replica_set(),
                    &self.image,
                    "42",
                    self.rollout_seconds_ago,
                    3,
                ),
                (before, &self.image_before, "41", weeks, 0),
            ] {
                let object = self.replica_set_json(&name, image, revision, age, replicas);
                found.push((format!("{folder}/replicasets/{name}"), object));
            }
        }
        found
    }

    fn template(&self, image: &str) -> Value {
        let mut container = self.container_spec();
        container["image"] = json!(image);
        let key = if self.is_init_container {
            "initContainers"
        } else {
            "containers"
        };
        json!({ "metadata": { "labels": self.labels() }, "spec": { key: [container], "restartPolicy": "Always" } })
    }

    fn replica_set_json(
        &self,
        name: &str,
        image: &str,
        revision: &str,
        age_seconds: i64,
        replicas: u32,
    ) -> Value {
        json!({
            "apiVersion": "apps/v1",
            "kind": "ReplicaSet",
            "metadata": {
                "annotations": {
                    "deployment.kubernetes.io/desired-replicas": "3",
                    "deployment.kubernetes.io/max-replicas": "4",
                    "deployment.kubernetes.io/revision": revision,
                },
                "creationTimestamp": self.ago(age_seconds),
                "labels": self.labels(),
                "name": name,
                "namespace": self.namespace,
                "ownerReferences": [{
                    "apiVersion": "apps/v1", "blockOwnerDeletion": true, "controller": true, "kind": "Deployment",
                    "name": self.workload_name, "uid": "0b9f4e57-21a8-4d3d-8f0a-6f2f5e0f7d21",
                }],
                "uid": if replicas > 0 { "b6e7a9f2-5d0f-4f0c-8a57-9e1d6b3f2c11" } else { "77a3c9d0-1c1b-4b0e-8f5e-0d9f2a4b6c33" },
            },
            "spec": {
                "replicas": replicas,
                "selector": { "matchLabels": { "app.kubernetes.io/name": self.workload_name } },
                "template": self.template(image),
            },
            "status": { "observedGeneration": 3, "replicas": replicas },
        })
    }

    fn workload_json(&self, api_version: &str, kind: &str) -> Value {
        let ready = self.ready();
        let status = match self.workload {
            Workload::DaemonSet => json!({
                "currentNumberScheduled": 3, "desiredNumberScheduled": 3, "numberAvailable": ready, "numberMisscheduled": 0,
                "numberReady": ready, "updatedNumberScheduled": 3,
            }),
            Workload::Job => {
                json!({ "active": 1, "failed": 2, "ready": 0, "startTime": self.ago(self.rollout_seconds_ago) })
            }
            _ => json!({
                "availableReplicas": ready, "observedGeneration": 42, "readyReplicas": ready, "replicas": 3,
                "unavailableReplicas": 3 - ready, "updatedReplicas": 3,
            }),
        };
        json!({
            "apiVersion": api_version,
            "kind": kind,
            "metadata": {
                "annotations": { "deployment.kubernetes.io/revision": "42" },
                "creationTimestamp": self.ago(200 * 86_400),
                "generation": 42,
                "labels": { "app.kubernetes.io/name": self.workload_name, "owner": "team-ingest" },
                "name": self.workload_name,
                "namespace": self.namespace,
                "uid": "0b9f4e57-21a8-4d3d-8f0a-6f2f5e0f7d21",
            },
            "spec": {
                "replicas": 3,
                "selector": { "matchLabels": { "app.kubernetes.io/name": self.workload_name } },
                "template": self.template(&self.image),
            },
            "status": status,
        })
    }

    pub(super) fn events(&self) -> Vec<Value> {
        let back_off = (
            "BackOff".to_owned(),
            format!(
                "Back-off restarting failed container {} in pod {}",
                self.container, self.pod
            ),
            203,
            20,
        );
        let mut all: Vec<_> = self
            .warnings
            .iter()
            .chain([&back_off])
            // That the kubelet kills a container is normal to it.
            .map(|w| {
                self.event(
                    if w.0 == "Killing" {
                        "Normal"
                    } else {
                        "Warning"
                    },
                    w,
                )
            })
            .collect();
        let pulled = format!(
            "Container image \"{}\" already present on machine",
            self.image
        );
        all.push(self.event("Normal", &("Pulled".to_owned(), pulled, self.restarts, 170)));
        all
    }

    fn event(
        &self,
        kind: &str,
        (reason, message, count, seconds_ago): &(String, String, u32, i64),
    ) -> Value {
        let list = if self.is_init_container {
            "initContainers"
        } else {
            "containers"
        };
        json!({
            "apiVersion": "v1",
            "count": count,
            "eventTime": null,
            "firstTimestamp": self.ago(self.first_crash_seconds_ago),
            "involvedObject": {
                "apiVersion": "v1", "fieldPath": format!("spec.{list}{{{}}}", self.container), "kind": "Pod",
                "name": self.pod, "namespace": self.namespace, "resourceVersion": "81730021", "uid": self.uid,
            },
            "kind": "Event",
            "lastTimestamp": self.ago(*seconds_ago),
            "message": message,
            "metadata": {
                "creationTimestamp": self.ago(self.first_crash_seconds_ago),
                "name": format!("{}.17a3f0{:010x}", self.pod, seconds_ago),
                "namespace": self.namespace,
                "uid": format!("5d8e0c1a-0f7b-4a3e-9c1d-{seconds_ago:012}"),
            },
            "reason": reason,
            "reportingComponent": "kubelet",
            "reportingInstance": "ip-10-0-4-17.us-west-1.compute.internal",
            "source": { "component": "kubelet", "host": "ip-10-0-4-17.us-west-1.compute.internal" },
            "type": kind,
        })
    }

    pub(super) fn node(&self) -> Value {
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({ "lastHeartbeatTime": self.ago(15), "lastTransitionTime": self.ago(9 * 86_400), "reason": reason,
                "status": status, "type": kind })
        };
        json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "creationTimestamp": self.ago(9 * 86_400),
                "labels": { "kubernetes.io/arch": "amd64", "node.kubernetes.io/instance-type": "m6i.xlarge",
                    "topology.kubernetes.io/zone": "us-west-1a" },
                "name": "ip-10-0-4-17.us-west-1.compute.internal",
                "uid": "f6a5b8d1-7b55-4f1b-9d2c-4f0a1c2e3d44",
            },
            "spec": { "podCIDR": "10.0.6.0/24" },
            "status": {
                "allocatable": { "cpu": "3920m", "memory": "15123456Ki", "pods": "58" },
                "capacity": { "cpu": "4", "memory": "16083456Ki", "pods": "58" },
                "conditions": [
                    condition("MemoryPressure", "False", "KubeletHasSufficientMemory"),
                    condition("DiskPressure", "False", "KubeletHasNoDiskPressure"),
                    condition("PIDPressure", "False", "KubeletHasSufficientPID"),
                    condition("Ready", "True", "KubeletReady"),
                ],
                "nodeInfo": { "kubeletVersion": "v1.31.4", "operatingSystem": "linux", "architecture": "amd64" },
            },
        })
    }
}
