// The stage: floor, lights, shadow, the flash on the beat, and the camera.
import {
  AmbientLight,
  CanvasTexture,
  CircleGeometry,
  Color,
  DirectionalLight,
  Fog,
  HemisphereLight,
  Mesh,
  MeshBasicMaterial,
  MeshStandardMaterial,
  PCFSoftShadowMap,
  PerspectiveCamera,
  RingGeometry,
  Scene,
  ShadowMaterial,
  SpotLight,
  SRGBColorSpace,
  Vector3,
  WebGLRenderer,
} from "three";
import { OrbitControls } from "three/examples/jsm/controls/OrbitControls.js";

const RADIUS = 3;
const BACKGROUND = new Color(0x0b0c14);
const RIM = new Color(0x40dcff);

// Where the camera stands about the dancer: degrees from the front, height and distance in heights of the dancer, and
// what it looks at.
export const CAMERAS = {
  front: { yaw: 0, height: 0.72, distance: 2.2, target: 0.52 },
  left: { yaw: -38, height: 0.7, distance: 2.4, target: 0.52 },
  right: { yaw: 38, height: 0.7, distance: 2.4, target: 0.52 },
  low: { yaw: 18, height: 0.16, distance: 2.3, target: 0.55 },
  high: { yaw: -20, height: 1.75, distance: 2.5, target: 0.45 },
  close: { yaw: 12, height: 0.85, distance: 1.2, target: 0.76 },
  wide: { yaw: 8, height: 0.8, distance: 4.2, target: 0.5 },
};

export class Stage {
  constructor(canvas, { transparent }) {
    this.renderer = new WebGLRenderer({ canvas, antialias: true, alpha: transparent });
    this.renderer.shadowMap.enabled = true;
    this.renderer.shadowMap.type = PCFSoftShadowMap;
    this.renderer.setPixelRatio(Math.min(devicePixelRatio, 2));
    this.scene = new Scene();
    this.camera = new PerspectiveCamera(34, 1, 0.05, 80);
    this.controls = new OrbitControls(this.camera, canvas);
    this.controls.enableDamping = true;
    this.controls.maxPolarAngle = Math.PI / 2 - 0.02;
    this.controls.minDistance = 0.4;
    this.controls.maxDistance = 20;
    this.controls.enablePan = false;
    this.follow = new Vector3(0, 0.9, 0);
    this.height = 1.7;
    this.spread = 0;
    this.pulse = 0;
    this.light();
    if (transparent) {
      this.renderer.setClearColor(0x000000, 0);
    } else {
      this.scene.background = BACKGROUND;
      this.scene.fog = new Fog(BACKGROUND, 8, 22);
      this.lay();
    }
    this.look("front");
    addEventListener("resize", () => this.resize());
    this.resize();
  }

  light() {
    this.scene.add(new HemisphereLight(0xdfe6ff, 0x2a2438, 1.1), new AmbientLight(0xffffff, 0.15));
    const key = new DirectionalLight(0xfff2e2, 2.4);
    key.position.set(-2.2, 4.6, 3.4);
    key.castShadow = true;
    key.shadow.mapSize.set(2048, 2048);
    Object.assign(key.shadow.camera, { left: -5, right: 5, top: 5, bottom: -5, near: 0.5, far: 14 });
    key.shadow.bias = -0.0004;
    key.shadow.normalBias = 0.015;
    const [pink, cyan] = [
      [0xff5ab0, -3.4],
      [0x40dcff, 3.4],
    ].map(([colour, x]) => {
      const rim = new SpotLight(colour, 45, 14, 0.7, 0.8);
      rim.position.set(x, 3.2, -3);
      rim.target.position.set(0, 1, 0);
      this.scene.add(rim, rim.target);
      return rim;
    });
    this.rims = [pink, cyan];
    this.scene.add(key);
  }

  lay() {
    const floor = new Mesh(
      new CircleGeometry(16, 96),
      new MeshStandardMaterial({ color: 0xffffff, map: tiles(), roughness: 0.62, metalness: 0.15 }),
    );
    const shadow = new Mesh(new CircleGeometry(16, 48), new ShadowMaterial({ opacity: 0.45 }));
    this.ring = new Mesh(
      new RingGeometry(RADIUS - 0.02, RADIUS + 0.02, 128),
      new MeshBasicMaterial({ color: RIM, transparent: true, opacity: 0.3 }),
    );
    this.glow = new Mesh(
      new RingGeometry(RADIUS - 0.5, RADIUS + 0.5, 128, 1),
      new MeshBasicMaterial({ color: RIM, transparent: true, opacity: 0, depthWrite: false }),
    );
    [floor, shadow, this.glow, this.ring].forEach((mesh, i) => {
      mesh.rotation.x = -Math.PI / 2;
      mesh.position.y = 0.001 * i;
      this.scene.add(mesh);
    });
    floor.receiveShadow = shadow.receiveShadow = true;
  }

  // Puts the camera where a preset says, at once: a cut.
  look(name) {
    const { yaw, height, distance, target } = CAMERAS[name];
    const angle = (yaw * Math.PI) / 180;
    const away = distance * this.height + 1.3 * this.spread;
    const focus = this.controls.target.copy(this.follow).setY(target * this.height);
    this.camera.position.set(
      focus.x + away * Math.sin(angle),
      Math.max(height * this.height, 0.08),
      focus.z + away * Math.cos(angle),
    );
    this.controls.update();
    this.preset = name;
  }

  // Lets the camera drift after the dancers, so that small steps do not shake the picture.
  track(place, seconds) {
    const share = 1 - Math.exp(-seconds / 0.7);
    const before = this.follow.clone();
    this.follow.x += share * (place.x - this.follow.x);
    this.follow.z += share * (place.z - this.follow.z);
    const moved = this.follow.clone().sub(before);
    this.controls.target.add(moved);
    this.camera.position.add(moved);
  }

  draw(pulse) {
    this.pulse = pulse;
    this.rims.forEach((rim) => (rim.intensity = 38 + 70 * pulse));
    if (this.ring) {
      this.ring.material.opacity = 0.3 + 0.7 * pulse;
      this.glow.material.opacity = 0.16 * pulse;
    }
    this.controls.update();
    this.renderer.render(this.scene, this.camera);
  }

  resize() {
    const [width, height] = [innerWidth, innerHeight];
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / Math.max(height, 1);
    this.camera.fov = width < height ? 52 : 34;
    this.camera.updateProjectionMatrix();
  }
}

// A dark floor with a grid of metres that fades away from the middle.
function tiles() {
  const size = 1024;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = size;
  const context = canvas.getContext("2d");
  const shade = context.createRadialGradient(size / 2, size / 2, 0, size / 2, size / 2, size / 2);
  shade.addColorStop(0, "#34384f");
  shade.addColorStop(0.35, "#1c1e2d");
  shade.addColorStop(1, "#0b0c14");
  context.fillStyle = shade;
  context.fillRect(0, 0, size, size);
  const metre = size / 32;
  for (let i = -16; i <= 16; i++) {
    const fade = Math.max(1 - Math.abs(i) / 9, 0);
    context.strokeStyle = `rgba(120, 130, 190, ${0.4 * fade})`;
    context.lineWidth = 1;
    const at = size / 2 + i * metre;
    context.beginPath();
    context.moveTo(at, size / 2 - 8 * metre);
    context.lineTo(at, size / 2 + 8 * metre);
    context.moveTo(size / 2 - 8 * metre, at);
    context.lineTo(size / 2 + 8 * metre, at);
    context.stroke();
  }
  const texture = new CanvasTexture(canvas);
  texture.colorSpace = SRGBColorSpace;
  texture.anisotropy = 8;
  return texture;
}
