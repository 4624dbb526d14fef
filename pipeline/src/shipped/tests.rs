use super::*;

fn record(flow: &ShippedFlow) -> Value {
    serde_json::from_str(flow.record).unwrap()
}

/// Detects: files of another training than the record's.
#[test]
fn the_files_are_those_of_the_record() {
    for flow in &FLOWS {
        for (name, bytes) in flow.files {
            let digest = blake3::hash(bytes).to_hex().to_string();
            assert_eq!(record(flow)["files"][name], digest, "{} {name}", flow.name);
        }
    }
}

#[test]
fn what_is_unpacked_has_the_figures_of_the_training() {
    let dir = tempfile::tempdir().unwrap();
    for flow in &FLOWS {
        let summary = flow.unpack(dir.path()).unwrap();
        let nll = summary.get("test NLL (nats)").unwrap();
        assert_eq!(record(flow)["figures"]["test NLL (nats)"], nll);
        assert!(dir.path().join("flow.safetensors").exists());
        assert_eq!(named(flow.name).unwrap().identity(), flow.identity());
    }
    assert!(named("words").is_none());
}
