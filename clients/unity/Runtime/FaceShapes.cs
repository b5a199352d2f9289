using System;
using System.Collections.Generic;
using UnityEngine;

namespace Dancerev {
    /// <summary>The blend shapes of an avatar's meshes that show expressions, found by the names that they usually have.</summary>
    internal sealed class FaceShapes {
        // Lower-case names, by expression: of VRM, VRoid, ARKit, VRChat and MMD.
        private static readonly string[][] Usual = {
            new[] { "blink", "fcl_eye_close", "eyeblinkleft", "eyeblinkright", "vrc.blink", "まばたき" },
            new[] { "joy", "happy", "smile", "fcl_all_joy", "mouthsmileleft", "mouthsmileright", "笑い" },
            new[] { "a", "aa", "mouth_a", "fcl_mth_a", "jawopen", "vrc.v_aa", "あ" },
        };

        private readonly List<Shape> _shapes = new List<Shape>();

        /// <summary>The blend shapes of the meshes below <paramref name="animator"/>.</summary>
        public FaceShapes(Animator animator) {
            foreach (SkinnedMeshRenderer renderer in animator.GetComponentsInChildren<SkinnedMeshRenderer>()) {
                Mesh mesh = renderer.sharedMesh;
                if (mesh == null) continue;
                for (int i = 0; i < mesh.blendShapeCount; i++) {
                    int expression = ExpressionOf(mesh.GetBlendShapeName(i));
                    if (expression >= 0) _shapes.Add(new Shape { Renderer = renderer, Index = i, Face = expression });
                }
            }
        }

        /// <summary>Shows expressions by their weights, 0 to 1.</summary>
        public void Show(float[] faces) {
            foreach (Shape shape in _shapes) {
                if (shape.Renderer != null) shape.Renderer.SetBlendShapeWeight(shape.Index, 100f * faces[shape.Face]);
            }
        }

        /// <summary>The expression that a blend shape shows, judged by its name; -1 for none.</summary>
        private static int ExpressionOf(string name) {
            string lower = name.ToLowerInvariant();
            for (int i = 0; i < Usual.Length; i++) {
                // Modellers put the name of a mesh or a folder before it, as in "Face.M_F00_000_00_Fcl_MTH_A".
                if (Array.Exists(Usual[i], usual => lower == usual
                        || (usual.Length > 2 && lower.EndsWith(usual, StringComparison.Ordinal)))) {
                    return i;
                }
            }
            return -1;
        }

        private struct Shape {
            public SkinnedMeshRenderer Renderer;
            public int Index;
            public int Face;
        }
    }
}
