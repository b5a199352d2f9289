// One dancer: the newest two poses, what lies between them now, and the body that shows it.
import { Quaternion, Vector3 } from "three";

const a = new Quaternion();
const b = new Quaternion();
const place = new Vector3();

export class Dancer {
  constructor(number) {
    this.number = number;
    this.body = null; // a Figure or an Avatar
    this.before = null;
    this.newest = null;
    this.arrived = 0;
    this.interval = 1 / 30;
    this.applied = 0;
  }

  wear(body) {
    this.body = body;
    this.before = this.newest = null;
  }

  take(pose, now) {
    // Poses of an avatar that is worn no more, or not yet, would be of the wrong size.
    const after = this.newest && pose.time > this.newest.time && now - this.arrived < 0.5;
    this.before = after ? this.newest : pose;
    if (after) this.interval = Math.min(Math.max(pose.time - this.newest.time, 1 / 120), 1 / 10);
    this.newest = pose;
    this.arrived = now;
    this.applied++;
    if (this.body) this.pose(1);
  }

  // Shows the body on its way from the last pose but one to the newest, so that 30 poses a second look like 60.
  show(now, seconds) {
    if (!this.body || !this.newest) return;
    this.pose(Math.min((now - this.arrived) / this.interval, 1));
    this.body.update(seconds);
  }

  pose(amount) {
    const { before, newest, body } = this;
    place.fromArray(before.root).lerp(b2.fromArray(newest.root), amount);
    body.place(place);
    turn(before.rotations, newest.rotations, amount, (i, q) => body.turn(i, q));
    turn(before.fingers, newest.fingers, amount, (i, q) => body.turnFinger(i, q));
    body.face(newest.face);
  }
}

const b2 = new Vector3();

function turn(from, to, amount, apply) {
  for (let i = 0; 4 * i < to.length; i++) {
    a.fromArray(from, 4 * i).slerp(b.fromArray(to, 4 * i), amount);
    apply(i, a);
  }
}
