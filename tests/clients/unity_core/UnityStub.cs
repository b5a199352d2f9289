// A stub of the Unity 2021.3 API: the members that the package uses, as Unity documents them, so that it compiles
// without Unity. Transforms work as in Unity. Avatars and HumanPoseHandler follow a simple model of what Unity promises:
// a bone's "muscles" are the vector part of its rotation from the T-pose. Unity's own are more involved.
using System;
using System.Collections.Generic;
using System.Linq;

namespace UnityEngine {
    public class Object {
        public virtual string name { get; set; }
        public HideFlags hideFlags { get; set; }
        public bool Destroyed { get; private set; } // the stub's own
        public static void Destroy(Object obj) { obj.Destroyed = true; }
        public static bool operator ==(Object x, Object y) { return ReferenceEquals(x, y); }
        public static bool operator !=(Object x, Object y) { return !ReferenceEquals(x, y); }
        public override bool Equals(object other) { return ReferenceEquals(this, other); }
        public override int GetHashCode() { return 0; }
    }

    [Flags]
    public enum HideFlags { None = 0, HideAndDontSave = 61 }

    public class Component : Object {
        public GameObject gameObject { get; internal set; }
        public Transform transform => gameObject.transform;
        public override string name => gameObject.name;
        public T GetComponentInChildren<T>() { return default(T); }
        public T[] GetComponentsInChildren<T>() { return gameObject.Components.OfType<T>().ToArray(); }
    }

    public class Behaviour : Component { }

    public class MonoBehaviour : Behaviour { }

    public class ScriptableObject : Object { }

    public sealed class GameObject : Object {
        public static readonly List<GameObject> All = new List<GameObject>(); // the stub's own

        public GameObject(string name) {
            this.name = name;
            transform = new Transform { gameObject = this };
            All.Add(this);
        }

        public Transform transform { get; }

        public readonly List<Component> Components = new List<Component>(); // the stub's own

        public T AddComponent<T>() where T : Component, new() {
            var component = new T { gameObject = this };
            Components.Add(component);
            return component;
        }
    }

    public class Transform : Component {
        public readonly List<Transform> Children = new List<Transform>(); // the stub's own

        public Transform parent { get; private set; }
        public Vector3 localPosition { get; set; }
        public Quaternion localRotation { get; set; } = Quaternion.identity;
        public Vector3 localScale { get; set; } = Vector3.one;

        public Vector3 position {
            get { return parent == null ? localPosition : parent.TransformPoint(localPosition); }
            set { localPosition = parent == null ? value : parent.InverseTransformPoint(value); }
        }

        public Quaternion rotation {
            get { return parent == null ? localRotation : parent.rotation * localRotation; }
            set { localRotation = parent == null ? value : Quaternion.Inverse(parent.rotation) * value; }
        }

        public void SetParent(Transform parent, bool worldPositionStays) {
            if (worldPositionStays) throw new NotSupportedException("by the stub");
            this.parent = parent;
            parent.Children.Add(this);
        }

        public void SetPositionAndRotation(Vector3 position, Quaternion rotation) {
            this.position = position;
            this.rotation = rotation;
        }

        public Vector3 TransformPoint(Vector3 position) {
            Vector3 above = localPosition + localRotation * Vector3.Scale(localScale, position);
            return parent == null ? above : parent.TransformPoint(above);
        }

        public Vector3 InverseTransformPoint(Vector3 position) {
            Vector3 here = parent == null ? position : parent.InverseTransformPoint(position);
            Vector3 p = Quaternion.Inverse(localRotation) * (here + localPosition * -1f);
            return new Vector3(p.x / localScale.x, p.y / localScale.y, p.z / localScale.z);
        }

        internal Transform Find(Predicate<Transform> wanted) {
            return wanted(this) ? this : Children.Select(child => child.Find(wanted)).FirstOrDefault(t => t != null);
        }
    }

    public struct Vector3 {
        public float x, y, z;
        public Vector3(float x, float y, float z) { this.x = x; this.y = y; this.z = z; }
        public static Vector3 zero => default(Vector3);
        public static Vector3 one => new Vector3(1f, 1f, 1f);
        public static Vector3 Scale(Vector3 a, Vector3 b) { return new Vector3(a.x * b.x, a.y * b.y, a.z * b.z); }
        public static Vector3 operator +(Vector3 a, Vector3 b) { return new Vector3(a.x + b.x, a.y + b.y, a.z + b.z); }
        public static Vector3 operator *(Vector3 a, float d) { return new Vector3(a.x * d, a.y * d, a.z * d); }
    }

    public struct Quaternion {
        public float x, y, z, w;
        public Quaternion(float x, float y, float z, float w) { this.x = x; this.y = y; this.z = z; this.w = w; }
        public static Quaternion identity => new Quaternion(0f, 0f, 0f, 1f);
        public static Quaternion Inverse(Quaternion q) { return new Quaternion(-q.x, -q.y, -q.z, q.w); }

        public static Quaternion operator *(Quaternion a, Quaternion b) {
            var q = System.Numerics.Quaternion.Normalize(a.Plain() * b.Plain());
            return new Quaternion(q.X, q.Y, q.Z, q.W);
        }

        public static Vector3 operator *(Quaternion rotation, Vector3 p) {
            var v = System.Numerics.Vector3.Transform(new System.Numerics.Vector3(p.x, p.y, p.z), rotation.Plain());
            return new Vector3(v.X, v.Y, v.Z);
        }

        private System.Numerics.Quaternion Plain() { return new System.Numerics.Quaternion(x, y, z, w); }
    }

    public static class Mathf {
        public static int Clamp(int value, int min, int max) { return Math.Max(min, Math.Min(max, value)); }
    }

    public static class Debug {
        public static void LogWarning(object message, Object context) { }
    }

    public static class Application {
        public static bool isPlaying => false;
    }

    public sealed class AddComponentMenu : Attribute {
        public AddComponentMenu(string menuName) { }
    }

    public class DefaultExecutionOrder : Attribute {
        public DefaultExecutionOrder(int order) { }
    }

    public class TooltipAttribute : Attribute {
        public TooltipAttribute(string tooltip) { }
    }

    public sealed class RangeAttribute : Attribute {
        public RangeAttribute(float min, float max) { }
    }

    public class Animator : Behaviour {
        public Avatar avatar { get; set; }
        public float humanScale => 1f;

        public Transform GetBoneTransform(HumanBodyBones humanBoneId) {
            string human = HumanTrait.BoneName[(int)humanBoneId];
            string name = avatar.humanDescription.human.FirstOrDefault(bone => bone.humanName == human).boneName;
            return name == null ? null : transform.Find(t => t.name == name);
        }
    }

    public class Renderer : Component { }

    public class SkinnedMeshRenderer : Renderer {
        public readonly Dictionary<int, float> Weights = new Dictionary<int, float>(); // the stub's own
        public Mesh sharedMesh { get; set; }
        public void SetBlendShapeWeight(int index, float value) { Weights[index] = value; }
    }

    public sealed class Mesh : Object {
        public string[] Names = new string[0]; // the stub's own
        public int blendShapeCount => Names.Length;
        public string GetBlendShapeName(int shapeIndex) { return Names[shapeIndex]; }
    }

    public sealed class SerializeField : Attribute { }

    public class Avatar : Object {
        public bool isValid => HumanTrait.BoneName.Where((_, i) => HumanTrait.RequiredBone(i)).All(Has);
        public bool isHuman => isValid;
        public HumanDescription humanDescription { get; internal set; }
        private bool Has(string bone) { return humanDescription.human.Any(b => b.humanName == bone); }
    }

    public class AvatarBuilder {
        public static Avatar BuildHumanAvatar(GameObject go, HumanDescription humanDescription) {
            if (go.transform.parent != null) throw new ArgumentException("not the topmost object");
            return new Avatar { humanDescription = humanDescription };
        }
    }

    public struct HumanDescription {
        public HumanBone[] human;
        public SkeletonBone[] skeleton;
        public float upperArmTwist { get; set; }
        public float lowerArmTwist { get; set; }
        public float upperLegTwist { get; set; }
        public float lowerLegTwist { get; set; }
        public float armStretch { get; set; }
        public float legStretch { get; set; }
        public float feetSpacing { get; set; }
    }

    public struct HumanBone {
        public HumanLimit limit;
        public string boneName { get; set; }
        public string humanName { get; set; }
    }

    public struct HumanLimit {
        public bool useDefaultValues { get; set; }
    }

    public struct SkeletonBone {
        public string name;
        public Vector3 position;
        public Quaternion rotation;
        public Vector3 scale;
    }

    public class HumanTrait {
        public static string[] BoneName => Enumerable.Range(0, 55).Select(i => "" + (HumanBodyBones)i).ToArray();
        public static int MuscleFromBone(int i, int dofIndex) { return i == 0 ? -1 : 3 * i + dofIndex; }

        public static bool RequiredBone(int i) {
            string bone = BoneName[i];
            return i <= 18 && bone != "Chest" && bone != "Neck" && !bone.EndsWith("Shoulder");
        }
    }

    public class HumanPoseHandler : IDisposable {
        private readonly Transform _root;
        private readonly List<Bone> _bones = new List<Bone>(); // parents before their children

        public HumanPoseHandler(Avatar avatar, Transform root) {
            if (!avatar.isValid) throw new ArgumentException("avatar is not valid");
            _root = root;
            Collect(root, Quaternion.identity, -1, avatar.humanDescription);
        }

        public void Dispose() { }

        public void GetHumanPose(ref HumanPose humanPose) {
            humanPose.muscles = humanPose.muscles ?? new float[3 * 56];
            humanPose.bodyPosition = _bones[0].Joint.position; // of the centre of mass, in Unity
            humanPose.bodyRotation = Turn(0);
            for (int i = 1; i < _bones.Count; i++) {
                Quaternion turn = Quaternion.Inverse(Turn(_bones[i].Parent)) * Turn(i);
                float sign = turn.w < 0f ? -1f : 1f;
                humanPose.muscles[3 * _bones[i].Index] = sign * turn.x;
                humanPose.muscles[3 * _bones[i].Index + 1] = sign * turn.y;
                humanPose.muscles[3 * _bones[i].Index + 2] = sign * turn.z;
            }
        }

        public void SetHumanPose(ref HumanPose humanPose) {
            _root.position += Vector3.one; // nothing that is promised speaks against it
            _bones[0].Joint.position = humanPose.bodyPosition;
            _bones[0].Joint.rotation = _root.rotation * humanPose.bodyRotation * _bones[0].Rest;
            for (int i = 1; i < _bones.Count; i++) {
                float x = humanPose.muscles[3 * _bones[i].Index], y = humanPose.muscles[3 * _bones[i].Index + 1];
                float z = humanPose.muscles[3 * _bones[i].Index + 2];
                var turn = new Quaternion(x, y, z, (float)Math.Sqrt(Math.Max(0f, 1f - x * x - y * y - z * z)));
                _bones[i].Joint.rotation = _root.rotation * Turn(_bones[i].Parent) * turn * _bones[i].Rest;
            }
        }

        /// <summary>How a bone is turned from the T-pose, seen from the root.</summary>
        private Quaternion Turn(int bone) {
            Quaternion seen = Quaternion.Inverse(_root.rotation) * _bones[bone].Joint.rotation;
            return seen * Quaternion.Inverse(_bones[bone].Rest);
        }

        private void Collect(Transform at, Quaternion rest, int parent, HumanDescription description) {
            if (at != _root) rest = rest * description.skeleton.First(bone => bone.name == at.name).rotation;
            string human = description.human.FirstOrDefault(bone => bone.boneName == at.name).humanName;
            if (human != null) {
                int index = Array.IndexOf(HumanTrait.BoneName, human);
                _bones.Add(new Bone { Joint = at, Rest = rest, Parent = parent, Index = index });
                parent = _bones.Count - 1;
            }
            foreach (Transform child in at.Children) {
                Collect(child, rest, parent, description);
            }
        }

        private struct Bone {
            public Transform Joint;
            public Quaternion Rest; // from the root
            public int Parent;
            public int Index;
        }
    }

    public struct HumanPose {
        public Vector3 bodyPosition;
        public Quaternion bodyRotation;
        public float[] muscles;
    }

    public enum HumanBodyBones {
        Hips, LeftUpperLeg, RightUpperLeg, LeftLowerLeg, RightLowerLeg, LeftFoot, RightFoot, Spine, Chest, Neck, Head,
        LeftShoulder, RightShoulder, LeftUpperArm, RightUpperArm, LeftLowerArm, RightLowerArm, LeftHand, RightHand,
        LeftToes, RightToes, LeftEye, RightEye, Jaw, LeftThumbProximal, LeftThumbIntermediate, LeftThumbDistal,
        LeftIndexProximal, LeftIndexIntermediate, LeftIndexDistal, LeftMiddleProximal, LeftMiddleIntermediate,
        LeftMiddleDistal, LeftRingProximal, LeftRingIntermediate, LeftRingDistal, LeftLittleProximal,
        LeftLittleIntermediate, LeftLittleDistal, RightThumbProximal, RightThumbIntermediate, RightThumbDistal,
        RightIndexProximal, RightIndexIntermediate, RightIndexDistal, RightMiddleProximal, RightMiddleIntermediate,
        RightMiddleDistal, RightRingProximal, RightRingIntermediate, RightRingDistal, RightLittleProximal,
        RightLittleIntermediate, RightLittleDistal, UpperChest,
    }
}

namespace UnityEditor {
    public class Editor : UnityEngine.ScriptableObject {
        public UnityEngine.Object target { get; set; }
        public virtual void OnInspectorGUI() { }
        public virtual bool RequiresConstantRepaint() { return false; }
        public bool DrawDefaultInspector() { return false; }
    }

    public class CustomEditor : Attribute {
        public CustomEditor(Type inspectedType) { }
    }

    public enum MessageType { None, Info, Warning, Error }

    public sealed class EditorGUILayout {
        public static void Space() { }
        public static void LabelField(string label, string label2, params UnityEngine.GUILayoutOption[] options) { }
        public static void HelpBox(string message, MessageType type) { }
    }
}

namespace UnityEngine {
    public sealed class GUILayoutOption { }
}
