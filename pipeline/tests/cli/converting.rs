//! `convert`: files of every kind that people have become HDF5 with equal values, and what cannot is refused with what
//! was found and what to do, leaving nothing.

mod refusing;
mod silently;

use crate::project::Project;
use crate::python::{execute, python};
use crate::python_package::pytorch;
use polars::prelude::{DataFrame, IntoColumn as _, NamedFrom as _, ParquetWriter, Series};
use std::path::Path;

/// A NumPy file of format 1 with `bytes` of numbers.
pub fn npy(descr: &str, shape: &str, bytes: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(bytes);
    file
}

/// An IDX file of bytes.
fn idx(shape: &[u32], bytes: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, shape.len() as u8];
    file.extend(shape.iter().flat_map(|axis| axis.to_be_bytes()));
    file.extend(bytes);
    file
}

/// The dataset `name` of the HDF5 file `file`: its shape and its values.
fn read(project: &Project, file: &str, name: &str) -> (Vec<usize>, Vec<f64>) {
    let file = hdf5::File::open(project.path(file)).unwrap();
    let dataset = file.dataset(name).unwrap();
    (dataset.shape(), dataset.read_raw().unwrap())
}

/// Without Python, for each kind of file that is made by hand.
#[test]
fn arrays_tables_and_images_become_datasets_with_labels() {
    let project = Project::new();
    let big: Vec<u8> = (0..6).flat_map(|i: i16| (i - 3).to_be_bytes()).collect();
    project.write("a.npy", npy(">i2", "(3, 2)", &big));
    project.run(&["convert", "a.npy", "a.h5"]).expect(
        0,
        &["/features  [3, 2]  f32  -3 to 2", "latent-align init a.h5"],
    );
    let expected = [-3.0, -2.0, -1.0, 0.0, 1.0, 2.0];
    assert_eq!(
        read(&project, "a.h5", "features"),
        (vec![3, 2], expected.to_vec())
    );

    project.write(
        "images-idx3-ubyte",
        idx(&[2, 2, 3], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 255]),
    );
    project.write("labels-idx1-ubyte", idx(&[2], &[7, 3]));
    let line = [
        "convert",
        "images-idx3-ubyte",
        "b.h5",
        "--labels",
        "labels-idx1-ubyte",
    ];
    project.run(&line).expect(
        0,
        &["/images  [2, 1, 2, 3]  u8", "init FEATURES.h5 --data b.h5"],
    );
    let (shape, values) = read(&project, "b.h5", "images");
    assert_eq!((shape, values[11]), (vec![2, 1, 2, 3], 255.0));
    assert_eq!(read(&project, "b.h5", "labels").1, [7.0, 3.0]);

    project.write("c.csv", "x,species,y\n0.1,wren,1\n2,owl,-3e2\n5,wren,0\n");
    project
        .run(&["convert", "c.csv", "c.h5", "--labels", "species"])
        .expect(0, &["/features  [3, 2]  f64  -300 to 5", "owl, wren"]);
    let (_, values) = read(&project, "c.h5", "features");
    assert_eq!(values, [0.1, 1.0, 2.0, -300.0, 5.0, 0.0]);
    assert_eq!(read(&project, "c.h5", "labels").1, [1.0, 0.0, 1.0]);

    let x: Vec<f64> = (0..250).map(|i| f64::from(i) / 8.0).collect();
    let y: Vec<i64> = (0..250).collect();
    let lists = (0..250).map(|i: i64| Series::new("".into(), [i, i + 1, i + 2]));
    let lists: Vec<Series> = lists.collect();
    let write = |name: &str, columns: Vec<Series>| {
        let columns = columns.into_iter().map(Series::into_column).collect();
        let mut frame = DataFrame::new(250, columns).unwrap();
        let file = std::fs::File::create(project.path(name)).unwrap();
        let writer = ParquetWriter::new(file).with_row_group_size(Some(100));
        writer.finish(&mut frame).unwrap();
    };
    let (x, y) = (Series::new("x".into(), x), Series::new("label".into(), y));
    write("d.parquet", vec![x.clone(), y]);
    project
        .run(&["convert", "d.parquet", "d.h5"])
        .expect(0, &["/features  [250, 1]  f64"]);
    let (_, values) = read(&project, "d.h5", "features");
    assert_eq!((values[1], values[249]), (0.125, 249.0 / 8.0));
    assert_eq!(read(&project, "d.h5", "labels").1[248..], [248.0, 249.0]);
    write("e.parquet", vec![x, Series::new("embedding".into(), lists)]);
    project.run(&["convert", "e.parquet", "e.h5"]).expect(
        0,
        &[
            "left out beside the lists: x",
            "/features  [250, 3]  f64  0 to 251",
        ],
    );
    let (_, values) = read(&project, "e.h5", "features");
    assert_eq!(values[3 * 120..][..3], [120.0, 121.0, 122.0]);

    // as `show` reads it, which is what users look at
    project
        .run(&["show", "c.h5"])
        .expect(0, &["features", "[3, 2]", "labels"]);
}

/// What the script makes, and how each file is converted.
const MADE: &str = "
import gzip, os, struct
import numpy as np
from PIL import Image
from safetensors.numpy import save_file
r = np.random.default_rng(0)
x = r.normal(size=(300, 7))
images = r.integers(0, 256, (12, 6, 5, 3), dtype='u1')
labels = np.arange(12) % 3
";

/// Fails if values, types, labels or names of any format change on the way.
#[test]
fn what_numpy_pillow_and_safetensors_wrote_has_the_same_values_in_h5py() {
    let Some(python) = python("numpy, h5py, safetensors, PIL") else {
        return;
    };
    let project = Project::new();
    let script = format!(
        "{MADE}
for kind in 'f2 f4 f8 >f4 i1 u2 i4 i8 >i8 ?'.split():
    np.save('x_' + kind.replace('>', 'big_').replace('?', 'bool') + '.npy', (x * 50).astype(kind))
np.save('columns.npy', np.asfortranarray(x))
np.save('nhwc.npy', images)
np.save('nhw.npy', images[..., 0])
np.savez('a.npz', x_train=images, y_train=labels)
np.savez_compressed('one.npz', x.astype('f4'))
save_file({{'emb': x.astype('f4'), 'ids': np.arange(300, dtype='i4')}}, 'a.safetensors')
with gzip.open('t10k-images-idx3-ubyte.gz', 'wb') as f:
    f.write(struct.pack('>BBBBIII', 0, 0, 8, 3, 12, 6, 5) + images[..., 0].tobytes())
for i, image in enumerate(images):
    os.makedirs(f'pictures/{{labels[i]}}', exist_ok=True)
    Image.fromarray(image).save(f'pictures/{{labels[i]}}/{{i:02}}.png')
os.makedirs('photos')
for i in range(4):
    Image.fromarray(np.kron(images[i], np.ones((8, 8, 1), 'u1'))).save(f'photos/{{i}}.jpg', quality=95)
Image.fromarray(images[0, ..., 0]).resize((40, 48), 0).save('photos/4.png')
"
    );
    execute_in(&python, &project, &script);
    let mut lines: Vec<String> = project
        .entries(".")
        .into_iter()
        .filter(|name| name.starts_with("x_"))
        .map(|name| format!("{name} {}", name.replace(".npy", ".h5")))
        .collect();
    assert_eq!(lines.len(), 10);
    for line in [
        "columns.npy columns.h5",
        "nhwc.npy nhwc.h5 --channels last",
        "nhw.npy nhw.h5 --channels none",
        "a.npz a.h5 --channels last",
        "one.npz one.h5 --dataset words",
        "a.safetensors safe.h5",
        "t10k-images-idx3-ubyte.gz idx.h5",
        "pictures pictures.h5",
        "pictures grey.h5 --colours grey",
        "photos photos.h5",
    ] {
        lines.push(line.to_owned());
    }
    for line in &lines {
        let words: Vec<&str> = ["convert"].into_iter().chain(line.split(' ')).collect();
        project.run(&words).expect(0, &["written"]);
    }
    let script = format!(
        "{MADE}
import h5py, json
def same(file, name, expected, kind):
    found = h5py.File(file + '.h5')[name]
    assert found.dtype == kind, (file, found.dtype)
    assert found.shape == expected.shape, (file, found.shape)
    assert (found[...] == expected).all(), file
for kind, kept in zip('f2 f4 f8 big_f4 i1 u2 i4 i8 big_i8 bool'.split(), 'f2 f4 f8 f4 f4 f4 f8 f8 f8 u1'.split()):
    plain = kind.replace('big_', '').replace('bool', '?')
    same('x_' + kind, 'features', (x * 50).astype(plain), kept)
first = images.transpose(0, 3, 1, 2)
same('columns', 'features', x, 'f8')
same('nhwc', 'images', first, 'u1')
same('nhw', 'images', first[:, :1], 'u1')
same('a', 'x_train', first, 'u1')
same('a', 'y_train', labels, 'i8')
same('one', 'words', x.astype('f4'), 'f4')
same('safe', 'emb', x.astype('f4'), 'f4')
same('safe', 'ids', np.arange(300), 'i8')
same('idx', 'images', first[:, :1], 'u1')
order = np.argsort(labels, kind='stable')
same('pictures', 'images', first[order], 'u1')
same('pictures', 'labels', labels[order], 'i8')
assert json.loads(h5py.File('pictures.h5')['labels'].attrs['classes']) == ['0', '1', '2']
same('grey', 'images', np.stack([np.array(Image.fromarray(images[i]).convert('L')) for i in order])[:, None], 'u1')
photos = h5py.File('photos.h5')['images'][...].astype(int)
# decoders of JPEG differ by rounding
for i in range(4):
    error = abs(photos[i] - np.array(Image.open(f'photos/{{i}}.jpg')).transpose(2, 0, 1)).max()
    assert error <= 8, error
assert (photos[4] == np.array(Image.open('photos/4.png'))).all()
print('equal')
"
    );
    assert_eq!(execute_in(&python, &project, &script), "equal\n");
}

/// Runs `script` in the folder of the project.
fn execute_in(python: &Path, project: &Project, script: &str) -> String {
    let script = format!("import os\nos.chdir({:?})\n{script}", project.path("."));
    execute(python, project, &script)
}

/// Fails if the tensor at the root of a file, views, or types of PyTorch alone are read wrongly, or if code in a pickle
/// is run or passed over.
#[test]
fn tensors_that_torch_saved_have_the_same_values() {
    let Some(python) = pytorch() else {
        return;
    };
    let project = Project::new();
    let script = "
import torch, os
x = torch.arange(60, dtype=torch.float32).reshape(12, 5)
torch.save(x, 'x.pt')
torch.save(x[:, 1:3], 'view.pt')
torch.save(x.to(torch.bfloat16), 'brain.pt')
torch.save({'features': x, 'labels': torch.arange(12) % 3}, 'both.pt')
class Code:
    def __reduce__(self):
        return os.system, ('touch ran',)
torch.save(Code(), 'code.pt')
torch.save({'x': x, 'code': Code()}, 'more-code.pt')
torch.save({'x': x, 'epoch': 3, 'names': ['a']}, 'beside.pt')
torch.save({'x': torch.complex(x, x).conj().imag}, 'negative.pt')
torch.save({'a.b': x, 'a': {'b': x + 1}}, 'clash.pt')
";
    execute_in(&python, &project, script);
    let all: Vec<f64> = (0..60).map(f64::from).collect();
    let view: Vec<f64> = (0..12)
        .flat_map(|row| [5 * row + 1, 5 * row + 2])
        .map(f64::from)
        .collect();
    for (name, width, expected) in [
        ("x", 5, &all),
        ("view", 2, &view),
        ("brain", 5, &all),
        ("both", 5, &all),
    ] {
        let (from, to) = (format!("{name}.pt"), format!("{name}.h5"));
        project
            .run(&["convert", &from, &to])
            .expect(0, &["/features"]);
        assert_eq!(
            read(&project, &to, "features"),
            (vec![12, width], expected.clone())
        );
    }
    assert_eq!(
        read(&project, "both.h5", "labels").1[..4],
        [0.0, 1.0, 2.0, 0.0]
    );
    for name in ["code.pt", "more-code.pt"] {
        project
            .run(&["convert", name, "no.h5"])
            .expect(2, &[name, "a call of `posix.system`"]);
    }
    for (name, part) in [
        ("negative.pt", "resolve_neg"),
        ("clash.pt", "two values called `a.b`"),
    ] {
        project.run(&["convert", name, "no.h5"]).expect(2, &[part]);
    }
    project
        .run(&["convert", "beside.pt", "beside.h5"])
        .expect(0, &["no tensors: epoch, names.0"]);
    assert!(!project.path("ran").exists() && !project.path("no.h5").exists());
}

#[test]
fn a_file_that_is_there_is_replaced_with_force_alone_and_as_a_whole() {
    let project = Project::new();
    project.write("a.npy", npy("|u1", "(2, 2)", &[1, 2, 3, 4]));
    project.write("bad.npy", npy("<f4", "(1, 1)", &f32::NAN.to_le_bytes()));
    project.write("out.h5", "kept");
    let kept = || std::fs::read(project.path("out.h5")).unwrap() == b"kept";
    project
        .run(&["convert", "a.npy", "out.h5"])
        .expect(2, &["--force"]);
    project
        .run(&["convert", "bad.npy", "out.h5", "--force"])
        .expect(2, &["not finite"]);
    assert!(kept());
    project
        .run(&["convert", "a.npy", "out.h5", "--force"])
        .expect(0, &[]);
    assert_eq!(read(&project, "out.h5", "features").1, [1.0, 2.0, 3.0, 4.0]);
    project
        .run(&["convert", "bad.npy", "nan.h5", "--keep-non-finite"])
        .expect(0, &["1 not finite"]);
}

/// Wherever an HDF5 file is named.
#[test]
fn a_file_of_another_format_is_met_with_the_command_that_converts_it() {
    let project = Project::new();
    let numbers: Vec<u8> = (0..800)
        .map(|i| crate::tiny::noise(i, 0))
        .flat_map(f32::to_le_bytes)
        .collect();
    project.write("my words.npy", npy("<f4", "(400, 2)", &numbers));
    project.write(
        "a.yaml",
        "name: a\npretrain_flow:\n  features: {file: my words.npy}\n",
    );
    for line in [
        &["init", "my words.npy"][..],
        &["show", "my words.npy"],
        &["run", "a.yaml"],
    ] {
        project.run(line).expect(
            2,
            &["a NumPy array", "latent-align convert '", "my words.h5'`"],
        );
    }
    let shown = project.run(&["init", "my words.npy"]).stderr;
    let command = shown.split('`').nth(1).unwrap().to_owned();
    let words = ["convert", "my words.npy", "my words.h5"];
    assert_eq!(
        command,
        format!("latent-align convert '{}' '{}'", words[1], words[2])
    );
    project
        .run(&words)
        .expect(0, &["latent-align init 'my words.h5'"]);
    project
        .run(&["init", "my words.h5"])
        .expect(0, &["my-words.yaml"]);
}
