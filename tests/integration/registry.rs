//! The registry over sources in memory: which modules serve, what replaces them, and that sources add up.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Duration;

use alert_manager::alert::HandlerName;
use alert_manager::runtime::{
    ModuleInfo, ModuleSource, ModuleState, Origin, Pins, Registry, Served,
};
use tests::harness::Harness;
use tests::modules;
use tests::source::Memory;

struct Rig {
    source: Memory,
    registry: Arc<Registry>,
    _bed: Harness,
}

impl Rig {
    /// Opens a registry over one source that has these guests, each under its own name.
    async fn with(guests: &[&str]) -> Self {
        let source = Memory::new("memory");
        for guest in guests {
            source.put(guest, modules::bytes(guest));
        }
        let (harness, registry) = open(vec![source.boxed()]);
        registry.ready().await;
        Self {
            source,
            registry,
            _bed: harness,
        }
    }

    fn get(&self, name: &str) -> Option<Arc<Served>> {
        self.registry.get(&HandlerName::new(name))
    }

    fn serves(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Puts bytes into the source, and returns once they are served or refused.
    async fn put(&self, name: &str, bytes: Vec<u8>) -> ModuleInfo {
        self.source.put(name, bytes);
        self.registry.rescan().await;
        self.info(name)
    }

    fn info(&self, name: &str) -> ModuleInfo {
        info(&self.registry, &self.source.origin(name)).unwrap()
    }

    async fn pin(&self, names: &[&str]) {
        let pins = names.iter().map(|name| (HandlerName::new(name), [0; 32]));
        self.registry.set_terms(pins.collect::<Pins>()).await;
    }
}

fn open(sources: Vec<Box<dyn ModuleSource>>) -> (Harness, Arc<Registry>) {
    let harness = Harness::new();
    let registry = Registry::open(Arc::clone(harness.runtime.loader()), sources, Pins::new());
    (harness, registry)
}

fn info(registry: &Registry, origin: &Origin) -> Option<ModuleInfo> {
    let serving = registry.serving();
    let mut listed = serving.listed().iter();
    listed.find(|info| info.origin == *origin).cloned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_bytes_again_serve_on_as_the_same_module() {
    let rig = Rig::with(&["probe"]).await;
    let old = rig.get("probe").unwrap();
    let info = rig.put("probe", modules::bytes("probe")).await;
    assert_eq!(info.state, ModuleState::Ready);
    assert!(Arc::ptr_eq(&old.module, &rig.get("probe").unwrap().module));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_module_with_a_loaded_name_is_refused_until_the_first_is_gone() {
    let rig = Rig::with(&["probe"]).await;
    let info = rig.put("a-second", modules::bytes("probe")).await;
    let why = info.error.unwrap();
    assert!(why.contains("already served from memory:probe"), "{why}");
    rig.source.remove("probe");
    rig.registry.rescan().await;
    assert_eq!(rig.info("a-second").state, ModuleState::Ready);
    assert!(rig.serves("probe"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_origin_may_change_its_name() {
    let rig = Rig::with(&["probe"]).await;
    rig.put("probe", modules::bytes("hostile")).await;
    assert!(rig.serves("hostile"));
    assert!(!rig.serves("probe"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_module_leaves_the_old_one_serving_and_says_why() {
    let rig = Rig::with(&["probe"]).await;
    let old = rig.get("probe").unwrap();
    let info = rig.put("probe", b"not wasm at all".to_vec()).await;
    assert_eq!(info.state, ModuleState::Refused);
    assert!(info.error.unwrap().contains("text file"));
    assert_eq!(info.name.unwrap().as_str(), "probe");
    assert!(Arc::ptr_eq(&old.module, &rig.get("probe").unwrap().module));
    let probe = HandlerName::new("probe");
    assert!(rig.registry.refusal(&probe).unwrap().contains("text file"));
    rig.put("probe", modules::bytes("probe")).await;
    assert_eq!(rig.registry.refusal(&probe), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_refuses_every_other_module() {
    let rig = Rig::with(&[]).await;
    rig.pin(&["probe"]).await;
    let info = rig.put("probe", modules::bytes("probe")).await;
    let why = info.error.unwrap();
    assert!(why.contains("handlers.probe.sha256"), "{why}");
    assert!(!rig.serves("probe"));
    rig.pin(&[]).await;
    assert!(rig.serves("probe"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pin_that_comes_later_ends_the_service_of_other_bytes() {
    let rig = Rig::with(&["probe", "hostile"]).await;
    // Its bytes have become bad meanwhile: the old module serves, and is not the pinned one.
    rig.put("hostile", b"not wasm at all".to_vec()).await;
    assert!(rig.serves("probe") && rig.serves("hostile"));
    rig.pin(&["probe", "hostile"]).await;
    assert!(!rig.serves("probe") && !rig.serves("hostile"));
    assert_eq!(rig.info("probe").state, ModuleState::Refused);
    rig.pin(&[]).await;
    assert!(rig.serves("probe"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sources_add_up_and_a_name_has_one_origin_among_them_all() {
    let (one, other) = (Memory::new("one"), Memory::new("other"));
    one.put("a", modules::bytes("probe"));
    other.put("a", modules::bytes("hostile"));
    let (_bed, registry) = open(vec![one.boxed(), other.boxed()]);
    registry.ready().await;
    for name in ["probe", "hostile"] {
        assert!(registry.get(&HandlerName::new(name)).is_some(), "{name}");
    }
    other.put("b", modules::bytes("probe"));
    registry.rescan().await;
    let why = info(&registry, &other.origin("b")).unwrap().error.unwrap();
    assert!(why.contains("already served from one:a"), "{why}");
    one.remove("a");
    registry.rescan().await;
    assert_eq!(
        info(&registry, &other.origin("b")).unwrap().state,
        ModuleState::Ready
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_source_the_registry_is_ready_and_empty() {
    let (_bed, registry) = open(Vec::new());
    let ready = tokio::time::timeout(Duration::from_secs(20), registry.ready()).await;
    assert!(ready.is_ok());
    assert!(registry.serving().listed().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_ends_if_its_bytes_change_and_what_served_goes_on() {
    let rig = Rig::with(&["probe"]).await;
    let mut reading = rig.source.put_slowly("probe");
    rig.source.change("probe");
    let ended = tokio::time::timeout(Duration::from_secs(20), reading.closed());
    ended
        .await
        .expect("the load of bytes that are gone goes on");
    assert!(rig.serves("probe"));
    let info = rig.put("probe", modules::bytes("hostile")).await;
    assert_eq!(info.state, ModuleState::Ready);
    assert!(rig.serves("hostile"));
}
