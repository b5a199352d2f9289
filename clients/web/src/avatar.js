// A VRM avatar (version 0 or 1) as a body. The page sends its joints to the show, which fits the poses to them.
import { Box3, Vector3 } from "three";
import { GLTFLoader } from "three/examples/jsm/loaders/GLTFLoader.js";
import { VRMLoaderPlugin, VRMUtils } from "@pixiv/three-vrm";

const THUMB_OF_VRM_1 = { Proximal: "Metacarpal", Intermediate: "Proximal", Distal: "Distal" };

// three-vrm calls the bones as VRM 1 does, for both versions.
function boneName(name) {
  const thumb = name.match(/^(Left|Right)Thumb(.*)$/);
  const called = thumb ? `${thumb[1]}Thumb${THUMB_OF_VRM_1[thumb[2]]}` : name;
  return called[0].toLowerCase() + called.slice(1);
}

export async function loadAvatar(url, hello) {
  const loader = new GLTFLoader();
  loader.register((parser) => new VRMLoaderPlugin(parser));
  const gltf = await loader.loadAsync(url);
  const vrm = gltf.userData.vrm;
  if (!vrm) throw new Error("not a VRM avatar");
  VRMUtils.rotateVRM0(vrm);
  return new Avatar(vrm, hello);
}

export class Avatar {
  constructor(vrm, hello) {
    this.vrm = vrm;
    this.object = vrm.scene;
    this.object.traverse((node) => {
      node.frustumCulled = false;
      node.castShadow = node.isMesh;
    });
    // Models of VRM 0 face the other way; rotations about x and z are then reversed.
    this.sign = vrm.meta.metaVersion === "0" ? -1 : 1;
    const node = (name) => vrm.humanoid.getNormalizedBoneNode(boneName(name));
    this.names = [...hello.bones, ...hello.fingers];
    this.bones = hello.bones.map(node);
    this.fingers = hello.fingers.map(node);
    this.object.updateMatrixWorld(true);
    this.joints = this.readJoints();
    this.torso = this.readTorso();
    const box = new Box3().setFromObject(this.object);
    this.height = box.max.y;
  }

  // Where each joint is in the T-pose facing +z, metres.
  readJoints() {
    const joints = {};
    const point = new Vector3();
    [...this.bones, ...this.fingers].forEach((bone, i) => {
      if (bone) joints[this.names[i]] = bone.getWorldPosition(point).toArray();
    });
    return joints;
  }

  // Half width and half depth of what moves with the spine, metres; zeros where the mesh does not say.
  readTorso() {
    const humanoid = this.vrm.humanoid;
    const trunk = new Set(["hips", "spine", "chest", "upperChest"].map((name) => humanoid.getRawBoneNode(name)));
    let [width, depth] = [0, 0];
    const point = new Vector3();
    const centre = humanoid.getRawBoneNode("hips").getWorldPosition(new Vector3());
    this.object.traverse((mesh) => {
      if (!mesh.isSkinnedMesh) return;
      const { position, skinIndex, skinWeight } = mesh.geometry.attributes;
      const widths = [];
      const depths = [];
      for (let i = 0; i < position.count; i++) {
        const weights = [skinWeight.getX(i), skinWeight.getY(i), skinWeight.getZ(i), skinWeight.getW(i)];
        const most = weights.indexOf(Math.max(...weights));
        if (!trunk.has(mesh.skeleton.bones[skinIndex.getComponent(i, most)])) continue;
        mesh.localToWorld(point.fromBufferAttribute(position, i)).sub(centre);
        widths.push(Math.abs(point.x));
        depths.push(Math.abs(point.z));
      }
      width = Math.max(width, percentile(widths));
      depth = Math.max(depth, percentile(depths));
    });
    return [width, depth];
  }

  place(root) {
    const hips = this.bones[0];
    hips.position.set(this.sign * root.x, root.y, this.sign * root.z);
  }

  turn(i, q) {
    this.apply(this.bones[i], q);
  }

  turnFinger(i, q) {
    this.apply(this.fingers[i], q);
  }

  apply(bone, q) {
    if (bone) bone.quaternion.set(this.sign * q.x, q.y, this.sign * q.z, q.w);
  }

  face([blink, joy, mouth, yaw, pitch]) {
    const { expressionManager, lookAt } = this.vrm;
    if (expressionManager) {
      expressionManager.setValue("blink", blink);
      expressionManager.setValue("happy", joy);
      expressionManager.setValue("aa", mouth);
    }
    if (lookAt) {
      lookAt.yaw = (180 / Math.PI) * yaw;
      lookAt.pitch = (-180 / Math.PI) * pitch;
    }
  }

  update(seconds) {
    this.vrm.update(seconds);
  }

  jointPositions(names) {
    this.vrm.humanoid.update();
    this.object.updateMatrixWorld(true);
    const found = {};
    for (const name of names) {
      const bone = this.vrm.humanoid.getRawBoneNode(boneName(name));
      if (bone) found[name] = bone.getWorldPosition(new Vector3()).toArray();
    }
    return found;
  }

  dispose() {
    this.object.removeFromParent();
    VRMUtils.deepDispose(this.object);
  }
}

// The 95th percentile, linear between values; 0 of none.
function percentile(values) {
  if (!values.length) return 0;
  values.sort((a, b) => a - b);
  const at = 0.95 * (values.length - 1);
  const below = Math.floor(at);
  return values[below] + (at - below) * (values[Math.min(below + 1, values.length - 1)] - values[below]);
}
