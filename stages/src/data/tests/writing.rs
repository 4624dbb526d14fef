//! Features are written with their distribution, which can be read again.

use super::source;
use crate::data::{Attribute, list};
use crate::targets::{Target, generate, read_target, write_features};

#[test]
fn generated_features_carry_their_law_and_are_the_seeds() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ring: Target = serde_json::from_str(r#"{"kind": "gaussian_ring"}"#).expect("parses");
    let make = |name: &str, seed| {
        let path = dir.path().join(name);
        // More than one block.
        generate(&ring, 70_000, seed, &path, "features").expect("generate");
        let opened = source(&path, "features").open().expect("open");
        (opened.read_items(0..70_000).expect("read"), opened)
    };
    let (rows, dataset) = make("a.h5", 1);
    assert_eq!(dataset.shape(), [70_000, 2]);
    assert_eq!(read_target(&dataset).expect("law"), Some(ring.clone()));
    assert_eq!(rows, make("b.h5", 1).0);
    assert_ne!(rows, make("c.h5", 2).0);
    assert_ne!(rows[..1000], rows[2 << 16..][..1000], "blocks must differ");
    let variance = rows.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / 140_000.0;
    assert!((variance - (4.5 + 0.09)).abs() < 0.05, "{variance}");

    let attributes = &list(dataset.path()).expect("list")[0].attributes;
    let get = |name: &str| {
        let found = attributes.iter().find(|a| a.0 == name);
        found.map(|a| a.1.as_str())
    };
    assert_eq!(get("kind"), Some("gaussian_ring"));
    assert_eq!(
        (get("radius"), get("sigma"), get("modes")),
        (Some("3"), Some("0.3"), Some("5"))
    );
    assert_eq!(
        (get("seed"), get("weights")),
        (Some("1"), Some("[0.2, 0.2, 0.2, 0.2, 0.2]"))
    );
    assert!(get("means").is_some() && get("covariances").is_some());
}

#[test]
fn a_large_covariance_fits_in_the_attributes() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("wide.h5");
    let d = 128; // 131 kB of covariance, beyond the 64 kB of an old-format attribute.
    let covariance = (0..d)
        .map(|i| (0..d).map(|j| if i == j { 1.0 } else { 0.001 }).collect())
        .collect();
    let target = Target::Gaussian {
        mean: vec![0.25; d],
        std: None,
        covariance: Some(covariance),
        width: None,
    };
    generate(&target, 10, 1, &path, "features").expect("generate");
    let dataset = source(&path, "features").open().expect("open");
    assert_eq!(read_target(&dataset).expect("law"), Some(target));
}

#[test]
fn laws_that_do_not_fit_their_data_are_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("features.h5");
    let write = |target: Option<&Target>, width: usize, extra: &[(&str, Attribute)]| {
        write_features(&path, "x", &[0.0; 12], width, target, extra).expect("write");
        source(&path, "x").open().expect("open")
    };
    let moons: Target = serde_json::from_str(r#"{"kind": "moons"}"#).expect("parses");
    assert_eq!(read_target(&write(None, 2, &[])).expect("none"), None);
    assert_eq!(
        read_target(&write(Some(&moons), 2, &[])).expect("law"),
        Some(moons.clone())
    );
    let error = read_target(&write(Some(&moons), 3, &[])).expect_err("width");
    assert!(error.to_string().contains("width 2; expected 3"), "{error}");
    let text = Attribute::Text(r#"{"kind": "banana"}"#.into());
    let error = read_target(&write(None, 2, &[("target", text)])).expect_err("kind");
    assert!(error.to_string().contains("banana"), "{error}");
    let text = Attribute::Text(r#"{"kind": "moons", "noise": -1}"#.into());
    assert!(read_target(&write(None, 2, &[("target", text)])).is_err());
    assert!(generate(&moons, 0, 1, &path, "x").is_err());
}
