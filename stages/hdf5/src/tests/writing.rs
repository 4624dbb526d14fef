//! Written files can be read again, and a failed write leaves the previous state.

use super::normals;
use crate::{Attribute, DatasetWriter, Error, OutData, list, read_dataset_f32, write_datasets};

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
