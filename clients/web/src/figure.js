// The built-in figure: a mannequin of smooth limbs about the joints of the dancer, with hands and a face.
import {
  Group,
  LatheGeometry,
  Mesh,
  MeshStandardMaterial,
  Object3D,
  SphereGeometry,
  Vector2,
  Vector3,
} from "three";

const SKIN = new MeshStandardMaterial({ color: 0xe8e4f0, roughness: 0.42, metalness: 0.05 });
const JOINT = new MeshStandardMaterial({ color: 0x565a70, roughness: 0.5, metalness: 0.3 });
const DARK = new MeshStandardMaterial({ color: 0x14161f, roughness: 0.18, metalness: 0.2 });
const EYE = new MeshStandardMaterial({ color: 0x0b0c12, emissive: 0x8fe6ff, emissiveIntensity: 1.6 });
const SIDES = {
  Left: new MeshStandardMaterial({ color: 0xff5aa8, roughness: 0.4 }),
  Right: new MeshStandardMaterial({ color: 0x42c8f5, roughness: 0.4 }),
};

// Radii in metres at the bone's joint and at its child's, for the limbs that are one tapered piece.
const LIMBS = [
  ["UpperArm", "LowerArm", 0.05, 0.037],
  ["LowerArm", "Hand", 0.039, 0.026],
  ["UpperLeg", "LowerLeg", 0.083, 0.053],
  ["LowerLeg", "Foot", 0.053, 0.034],
];

export class Figure {
  constructor(hello) {
    this.object = new Group();
    this.names = hello.bones;
    this.bones = grow(hello.bones, hello.parents, hello.offsets);
    this.object.add(this.bones[0]);
    const bone = (name) => this.bones[hello.bones.indexOf(name)];
    this.bone = bone;
    this.fingers = hello.fingers.map((_, i) => at(hello.fingerOffsets[i]));
    this.fingers.forEach((finger, i) => {
      const parent = hello.fingerParents[i];
      const above = hello.fingers.indexOf(parent);
      (above >= 0 ? this.fingers[above] : bone(parent)).add(finger);
    });
    this.buildBody();
    for (const side of ["Left", "Right"]) this.buildSide(side);
    this.buildHands(hello);
    this.buildHead();
    this.object.traverse((node) => {
      node.castShadow = node.isMesh;
      node.receiveShadow = node.isMesh;
    });
    this.height = 1.7;
  }

  buildBody() {
    const { bone } = this;
    bone("Hips").add(ball(SKIN, [0.15, 0.105, 0.105], [0, -0.02, 0]));
    bone("Spine").add(ball(JOINT, [0.107, 0.15, 0.08], [0, 0.07, 0.008]));
    bone("UpperChest").add(ball(SKIN, [0.145, 0.135, 0.096], [0, 0.034, 0.006]));
    bone("UpperChest").add(ball(SKIN, [0.168, 0.052, 0.062], [0, 0.104, -0.008]));
    bone("Neck").add(limb(JOINT, new Vector3(0, 0.09, 0.02), 0.046, 0.042));
  }

  buildSide(side) {
    const bone = (name) => this.bone(side + name);
    bone("UpperArm").add(ball(SIDES[side], [0.058, 0.058, 0.058], [0, 0, 0]));
    for (const [upper, lower, from, to] of LIMBS) {
      bone(upper).add(limb(SKIN, bone(lower).position, from, to));
      bone(lower).add(ball(JOINT, [1.07 * to, 1.07 * to, 1.07 * to], [0, 0, 0]));
    }
    const toes = bone("Toes").position;
    bone("Foot").add(ball(SIDES[side], [0.042, 0.042, 0.05], [0, -0.028, -0.025]));
    const shoe = limb(SIDES[side], new Vector3(0, toes.y + 0.018, toes.z), 0.04, 0.036);
    shoe.position.y = -0.022;
    bone("Foot").add(shoe);
    bone("Toes").add(ball(SIDES[side], [0.041, 0.028, 0.066], [0, 0.013, 0.016]));
  }

  buildHands(hello) {
    for (const side of ["Left", "Right"]) {
      const x = side === "Left" ? 1 : -1;
      this.bone(`${side}Hand`).add(ball(SIDES[side], [0.05, 0.017, 0.042], [0.046 * x, -0.002, -0.002]));
    }
    this.fingers.forEach((finger, i) => {
      const side = hello.fingers[i].startsWith("Left") ? "Left" : "Right";
      const outermost = i % 3 === 2;
      const end = outermost ? new Vector3(side === "Left" ? 0.02 : -0.02, 0, 0) : this.fingers[i + 1].position;
      const radius = hello.fingers[i].includes("Thumb") ? 0.012 : 0.0098;
      finger.add(limb(SIDES[side], end, radius, radius * 0.86));
    });
  }

  buildHead() {
    const head = this.bone("Head");
    head.add(ball(SKIN, [0.083, 0.115, 0.097], [0, 0.1, 0.01]));
    const visor = ball(DARK, [0.074, 0.047, 0.05], [0, 0.108, 0.072]);
    head.add(visor);
    this.eyes = [-1, 1].map((side) => {
      const eye = ball(EYE, [0.0135, 0.018, 0.008], [0.028 * side, 0.112, 0.1165]);
      head.add(eye);
      return eye;
    });
    this.mouth = ball(DARK, [0.02, 0.004, 0.008], [0, 0.047, 0.098]);
    head.add(this.mouth);
  }

  place(root) {
    this.bones[0].position.copy(root);
  }

  turn(i, q) {
    this.bones[i].quaternion.copy(q);
  }

  turnFinger(i, q) {
    this.fingers[i].quaternion.copy(q);
  }

  face([blink, joy, mouth, yaw, pitch]) {
    this.eyes.forEach((eye, i) => {
      eye.scale.set(0.0135, 0.018 * Math.max(1 - blink, 0.06), 0.008);
      eye.position.set(0.028 * (2 * i - 1) + 0.03 * Math.sin(yaw), 0.112 + 0.03 * Math.sin(pitch), 0.1165);
    });
    this.mouth.scale.set(0.016 + 0.012 * joy, 0.004 + 0.016 * mouth, 0.008);
  }

  update() {}

  jointPositions(names) {
    this.object.updateMatrixWorld(true);
    const found = {};
    for (const name of names) {
      const bone = this.bones[this.names.indexOf(name)];
      if (bone) found[name] = bone.getWorldPosition(new Vector3()).toArray();
    }
    return found;
  }

  dispose() {
    this.object.removeFromParent();
    this.object.traverse((node) => node.geometry && node.geometry.dispose());
  }
}

function grow(names, parents, offsets) {
  const bones = names.map((_, i) => at(offsets[i]));
  bones.forEach((bone, i) => parents[i] >= 0 && bones[parents[i]].add(bone));
  return bones;
}

function at(offset) {
  const node = new Object3D();
  node.position.fromArray(offset);
  return node;
}

function ball(material, radii, place) {
  const mesh = new Mesh(new SphereGeometry(1, 28, 20), material);
  mesh.scale.fromArray(radii);
  mesh.position.fromArray(place);
  return mesh;
}

// A tapered limb with round ends from a joint to the point `end`.
function limb(material, end, from, to) {
  const length = end.length();
  const steps = 8;
  const profile = [];
  for (let i = 0; i <= steps; i++) {
    const angle = (Math.PI / 2) * (1 - i / steps);
    profile.push(new Vector2(from * Math.cos(angle), -from * Math.sin(angle)));
  }
  for (let i = 0; i <= steps; i++) {
    const angle = (Math.PI / 2) * (i / steps);
    profile.push(new Vector2(Math.max(to * Math.cos(angle), 1e-4), length + to * Math.sin(angle)));
  }
  const mesh = new Mesh(new LatheGeometry(profile, 24), material);
  mesh.quaternion.setFromUnitVectors(new Vector3(0, 1, 0), end.clone().normalize());
  return mesh;
}
