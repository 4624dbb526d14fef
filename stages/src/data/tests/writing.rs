//! What is written can be read again, and a failed write leaves what was there.

use super::{normals, source};
use crate::data::{
    Attribute, Dataset, DatasetWriter, OutData, list, read_dataset_f32, write_datasets,
};
use crate::error::Error;
use crate::targets::{Target, generate, read_target, write_features};

#[test]
fn every_kind_of_values_is_read_again_checksummed_and_compressed() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("out.h5");
    let floats: Vec<f32> = normals(1, 60_000).iter().map(|&v| v as f32).collect();
    let doubles = [1.5, -2.0];
    write_datasets(
        &path,
        &[
            ("latents/train", &[10_000, 2, 3], OutData::F32(&floats)),
            ("doubles", &[2, 1], OutData::F64(&doubles)),
            ("bytes", &[3], OutData::U8(&[1, 2, 255])),
            ("ids", &[2], OutData::I64(&[-5, 1 << 20])),
            ("none", &[0, 4], OutData::F32(&[])),
        ],
        &[
            ("note", Attribute::Text("π".into())),
            ("seed", Attribute::Int(3)),
        ],
    )
    .expect("write");
    assert_eq!(
        read_dataset_f32(&path, "latents/train").expect("read"),
        (vec![10_000, 2, 3], floats)
    );
    assert_eq!(
        read_dataset_f32(&path, "doubles").expect("read").1,
        [1.5, -2.0]
    );
    assert_eq!(
        read_dataset_f32(&path, "bytes").expect("read").1,
        [1.0, 2.0, 255.0]
    );
    assert_eq!(
        read_dataset_f32(&path, "ids").expect("read").1,
        [-5.0, 1_048_576.0]
    );
    assert_eq!(read_dataset_f32(&path, "none").expect("read").0, [0, 4]);
    let found = list(&path).expect("list");
    let latents = found
        .iter()
        .find(|d| d.name == "/latents/train")
        .expect("listed");
    assert_eq!(latents.filters, ["shuffle", "gzip(4)", "fletcher32"]);
    let left: Vec<_> = std::fs::read_dir(dir.path()).expect("list").collect();
    assert_eq!(left.len(), 1, "a temporary file was left behind");
}

#[test]
fn a_failed_write_leaves_an_existing_file_intact() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("out.h5");
    write_datasets(&path, &[("x", &[1, 1], OutData::F32(&[1.0]))], &[]).expect("write");
    let before = std::fs::read(&path).expect("read");
    // Two datasets of one name cannot be.
    let twice: [(&str, &[usize], OutData<'_>); 2] = [
        ("x", &[1, 1], OutData::F32(&[2.0])),
        ("x", &[1, 1], OutData::F32(&[3.0])),
    ];
    assert!(matches!(
        write_datasets(&path, &twice, &[]),
        Err(Error::File { .. })
    ));
    let mut unfinished = DatasetWriter::create(&path, "x", &[4, 2], &[]).expect("create");
    unfinished.append(&[1.0, 2.0]).expect("append");
    drop(unfinished);
    assert_eq!(std::fs::read(&path).expect("read"), before);
    assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 1);
    let nowhere = dir.path().join("missing/out.h5");
    let error = write_datasets(&nowhere, &twice[..1], &[]).expect_err("no directory");
    assert!(error.to_string().contains("missing/out.h5"), "{error}");
    assert!(DatasetWriter::create(&nowhere, "x", &[4, 2], &[]).is_err());
}

#[test]
fn generated_features_carry_their_law_and_are_the_seeds() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ring: Target = serde_json::from_str(r#"{"kind": "gaussian_ring"}"#).expect("parses");
    let make = |name: &str, seed| {
        let path = dir.path().join(name);
        // More than one block.
        generate(&ring, 70_000, seed, &path, "features").expect("generate");
        let opened = Dataset::open(&source(&path, "features")).expect("open");
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
    let dataset = Dataset::open(&source(&path, "features")).expect("open");
    assert_eq!(read_target(&dataset).expect("law"), Some(target));
}

#[test]
fn laws_that_do_not_fit_their_data_are_refused() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let path = dir.path().join("features.h5");
    let write = |target: Option<&Target>, width: usize, extra: &[(&str, Attribute)]| {
        write_features(&path, "x", &[0.0; 12], width, target, extra).expect("write");
        Dataset::open(&source(&path, "x")).expect("open")
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

#[test]
fn equal_data_is_equal_bytes_whenever_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = |name: &str| {
        let path = directory.path().join(name);
        let values = [1.0f32, 2.0, 3.0, 4.0];
        let datasets = [
            ("a", &[2usize, 2][..], OutData::F32(&values)),
            ("b", &[4][..], OutData::F32(&values)),
        ];
        write_datasets(&path, &datasets, &[("note", Attribute::Text("x".into()))]).unwrap();
        std::fs::read(path).unwrap()
    };
    let first = bytes("first.h5");
    // HDF5 would store times in seconds
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert!(first == bytes("second.h5"));
}
