// Puts the engine's part of the Unity package on a stage made of the stub, and prints what is wrong with it.
using System;
using System.Collections.Generic;
using System.IO;
using System.Net;
using System.Net.Sockets;
using System.Reflection;
using System.Threading;
using UnityEngine;

namespace Dancerev {
    internal static class Stage {
        private static readonly System.Random Random = new System.Random(1);

        private static int Main(string[] arguments) {
            if (arguments[0] == "retargeter") {
                Dance(new string[0]);
                Dance(new[] { "UpperChest" });
                Dance("UpperChest,Chest,Neck,LeftShoulder,RightShoulder,LeftToes,RightToes".Split(','));
            } else {
                LiveAndDie(File.ReadAllBytes(arguments[1]));
            }
            return 0;
        }

        /// <summary>An avatar of other proportions, its bones turned at random, takes the dancer's pose.</summary>
        private static void Dance(string[] missing) {
            Animator animator = MakeAvatar(missing);
            Expect(HumanoidRetargeter.ProblemOf(animator) == null, "no problem with the avatar");
            int objects = GameObject.All.Count;
            var retargeter = new HumanoidRetargeter(animator);
            var face = animator.gameObject.AddComponent<SkinnedMeshRenderer>();
            face.sharedMesh = new Mesh { Names = new[] { "Body.Fcl_EYE_Close", "brow", "A", "extra", "mouthSmileLeft" } };
            retargeter.Dispose();
            retargeter = new HumanoidRetargeter(animator);
            Quaternion finger = animator.GetBoneTransform(HumanBodyBones.LeftIndexProximal).localRotation;
            Transform root = animator.transform;
            Vector3 place = root.position;
            for (int take = 0; take < 10; take++) {
                var pose = new LocalPose();
                for (int bone = 0; bone < Skeleton.Count; bone++) {
                    pose.Offsets[bone] = Skeleton.RestOffsets[bone];
                    Quaternion turn = RandomRotation();
                    pose.Rotations[bone] = new System.Numerics.Quaternion(turn.x, turn.y, turn.z, turn.w);
                }
                bool hands = take % 2 == 1;
                pose.HasFingers = pose.HasFace = hands;
                pose.Faces[Expressions.Blink] = 0.25f;
                pose.Faces[Expressions.Joy] = 0.5f;
                pose.Faces[Expressions.Mouth] = 0.75f;
                var body = new WorldBody();
                body.Set(pose);
                var hips = new System.Numerics.Vector3(0.3f, 0.8f, -0.2f);
                retargeter.Apply(body, hips);
                for (int bone = 0; bone < Skeleton.Count; bone++) {
                    Transform joint = animator.GetBoneTransform(Numerics.HumanBones[bone]);
                    if (joint == null || (bone >= Skeleton.BodyCount && !hands)) continue;
                    int shown = bone;
                    while (shown >= 1 && shown <= 2 && Array.IndexOf(missing, Skeleton.Names[shown + 1]) >= 0) shown++;
                    Quaternion turned = root.rotation * body.Rotations[shown].ToUnity() * RestOf(joint, root);
                    Expect(Same(joint.rotation, turned), Skeleton.Names[bone] + " is turned as the dancer's");
                }
                Transform shownHips = animator.GetBoneTransform(HumanBodyBones.Hips);
                Vector3 expected = root.TransformPoint(hips.ToUnity() * (1.38f / 0.92f));
                Expect(Same(shownHips.position, expected), "the hips are where the dancer's are, in the avatar's size");
                Expect(Same(root.position, place), "the root stays");
                Quaternion now = animator.GetBoneTransform(HumanBodyBones.LeftIndexProximal).localRotation;
                Expect(hands || Same(now, finger), "fingers stay where the sender sends none");
                finger = now;
                Expect(hands == (face.Weights.Count == 3) || take > 1, "blend shapes wait for a face");
                if (!hands) continue;
                Expect(face.Weights[0] == 25f && face.Weights[4] == 50f && face.Weights[2] == 75f, "the face moves");
            }
            retargeter.Dispose();
            Expect(GameObject.All[objects].Destroyed, "the reference rig leaves");
        }

        private static Animator MakeAvatar(string[] missing) {
            var rootObject = new GameObject("Avatar");
            Transform root = rootObject.transform;
            var human = new List<HumanBone>();
            var skeleton = new List<SkeletonBone>();
            var armature = new GameObject("Armature").transform;
            armature.SetParent(root, false);
            armature.localScale = new Vector3(0.01f, 0.01f, 0.01f);
            armature.localRotation = new Quaternion((float)-Math.Sqrt(0.5), 0f, 0f, (float)Math.Sqrt(0.5));
            skeleton.Add(Rest(armature));
            var joints = new Dictionary<string, Transform>();
            for (int bone = 0; bone < Skeleton.Count; bone++) {
                string name = Skeleton.Names[bone];
                if (Array.IndexOf(missing, name) >= 0) continue;
                int parent = Skeleton.Parents[bone];
                while (parent >= 0 && !joints.ContainsKey(Skeleton.Names[parent])) parent = Skeleton.Parents[parent];
                Transform joint = new GameObject("bone_" + name).transform;
                joint.SetParent(parent < 0 ? armature : joints[Skeleton.Names[parent]], false);
                joint.position = bone == 0 ? new Vector3(0f, 1.38f, 0f) : joint.parent.position + RandomOffset();
                joint.localRotation = RandomRotation();
                joints.Add(name, joint);
                skeleton.Add(Rest(joint));
                human.Add(new HumanBone { boneName = joint.name, humanName = name });
            }
            var description = new HumanDescription { human = human.ToArray(), skeleton = skeleton.ToArray() };
            var animator = rootObject.AddComponent<Animator>();
            animator.avatar = AvatarBuilder.BuildHumanAvatar(rootObject, description);
            root.position = new Vector3(5f, 0.5f, -3f);
            root.localRotation = RandomRotation();
            root.localScale = new Vector3(1.5f, 1.5f, 1.5f);
            Transform finger = joints["LeftIndexProximal"];
            finger.localRotation = RandomRotation(); // a finger that holds something
            return animator;
        }

        private static readonly Dictionary<Transform, Quaternion> RestRotations =
            new Dictionary<Transform, Quaternion>();

        private static SkeletonBone Rest(Transform bone) {
            RestRotations[bone] = bone.localRotation;
            return new SkeletonBone {
                name = bone.name, position = bone.localPosition, rotation = bone.localRotation, scale = bone.localScale,
            };
        }

        private static Quaternion RestOf(Transform joint, Transform root) {
            return joint == root ? Quaternion.identity : RestOf(joint.parent, root) * RestRotations[joint];
        }

        /// <summary>The component's life: no avatar, a taken port, a dance, silence, and the port given back.</summary>
        private static void LiveAndDie(byte[] datagrams) {
            int port = FreePort();
            var first = new GameObject("first").AddComponent<DancerevReceiver>();
            var second = new GameObject("second").AddComponent<DancerevReceiver>();
            first.Port = second.Port = port;
            Expect(first.Status == ConnectionStatus.Off, "off before it lives");
            Call(first, "LateUpdate");
            Expect(first.Status == ConnectionStatus.Waiting, "waiting");
            Expect(first.Problem.Contains("No avatar"), "no avatar is told of");
            first.Animator = MakeAvatar(new string[0]);
            Call(first, "LateUpdate");
            Expect(first.Problem == null, "no problem with an avatar");
            Call(second, "LateUpdate");
            Expect(second.Status == ConnectionStatus.PortUnavailable, "a taken port is told of");
            Expect(second.Problem.Contains(port.ToString()), "with its number");

            Transform hips = first.Animator.GetBoneTransform(HumanBodyBones.Hips);
            Vector3 before = hips.position;
            Send(first, datagrams);
            Call(first, "LateUpdate");
            Expect(first.Status == ConnectionStatus.Receiving, "receiving");
            Expect(!Same(hips.position, before), "the avatar dances");
            Expect(first.Datagrams == 2, "two datagrams");
            Thread.Sleep(600);
            Call(first, "LateUpdate");
            Expect(first.Status == ConnectionStatus.Lost, "lost");

            Call(first, "OnDisable");
            Expect(first.Status == ConnectionStatus.Off, "off after its life");
            Thread.Sleep(600);
            Call(second, "LateUpdate");
            Expect(second.Status == ConnectionStatus.Waiting, "the next one gets the port");
            second.Port = FreePort();
            Call(second, "LateUpdate");
            Send(second, datagrams);
            Call(second, "LateUpdate");
            Expect(second.Status == ConnectionStatus.Receiving, "a changed port is taken");
            Call(second, "OnDisable");
            Call(second, "OnDisable");
        }

        private static void Send(DancerevReceiver receiver, byte[] datagrams) {
            var input = new BinaryReader(new MemoryStream(datagrams));
            using (var client = new UdpClient()) {
                while (input.BaseStream.Position < datagrams.Length) {
                    input.ReadDouble();
                    byte[] datagram = input.ReadBytes(input.ReadInt32());
                    client.Send(datagram, datagram.Length, new IPEndPoint(IPAddress.Loopback, receiver.Port));
                }
            }
            for (int wait = 0; receiver.Datagrams < 2 && wait < 500; wait++) {
                Thread.Sleep(10);
            }
        }

        private static int FreePort() {
            using (var client = new UdpClient(0)) {
                return ((IPEndPoint)client.Client.LocalEndPoint).Port;
            }
        }

        private static void Call(object target, string method) {
            target.GetType().GetMethod(method, BindingFlags.Instance | BindingFlags.NonPublic).Invoke(target, null);
        }

        private static void Expect(bool fact, string what) {
            if (!fact) Console.WriteLine("not so: " + what);
        }

        private static Vector3 RandomOffset() {
            var v = new Vector3((float)Random.NextDouble(), (float)Random.NextDouble(), (float)Random.NextDouble());
            return v + new Vector3(-0.5f, -0.5f, -0.5f);
        }

        private static Quaternion RandomRotation() {
            Vector3 v = RandomOffset();
            var q = System.Numerics.Quaternion.Normalize(new System.Numerics.Quaternion(v.x, v.y, v.z, 0.4f));
            return new Quaternion(q.X, q.Y, q.Z, q.W);
        }

        private static bool Same(Vector3 a, Vector3 b) {
            return Math.Abs(a.x - b.x) + Math.Abs(a.y - b.y) + Math.Abs(a.z - b.z) < 1e-3;
        }

        private static bool Same(Quaternion a, Quaternion b) {
            return Math.Abs(a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w) > 1.0 - 1e-4;
        }
    }
}
