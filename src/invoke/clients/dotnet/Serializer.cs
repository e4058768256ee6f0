using System;
using System.IO;
using System.Linq;
using System.Reflection;

namespace LambdaPack
{
    /// <summary>The serializer that a handler or its assembly names in an attribute. The package has it, not this client.</summary>
    sealed class Serializer
    {
        const string Attribute = "Amazon.Lambda.Core.LambdaSerializerAttribute";
        readonly object serializer;
        readonly Type type;
        readonly string where;

        Serializer(object serializer, string where)
        {
            this.serializer = serializer;
            this.where = where;
            type = serializer?.GetType().GetInterfaces().First(one => one.FullName == "Amazon.Lambda.Core.ILambdaSerializer");
        }

        public static Serializer Of(MethodInfo method, Assembly assembly)
        {
            var attribute = method.GetCustomAttributes().Concat(assembly.GetCustomAttributes()).FirstOrDefault(Names);
            var named = (Type)attribute?.GetType().GetProperty("SerializerType").GetValue(attribute);
            var where = $"on the assembly '{assembly.FullName}' or method '{method}'";
            return new Serializer(named == null ? null : Activator.CreateInstance(named), where);
        }

        static bool Names(object attribute)
        {
            for (var type = attribute.GetType(); type != null; type = type.BaseType)
                if (type.FullName == Attribute) return true;
            return false;
        }

        public object Read(Stream from, Type into) => Method("Deserialize", "deserialize input", into).Invoke(serializer, Plain, null, new object[] { from }, null);

        public Stream Write(object value, Type from)
        {
            var stream = new MemoryStream();
            Method("Serialize", "serialize output", from).Invoke(serializer, Plain, null, new[] { value, stream }, null);
            stream.Position = 0;
            return stream;
        }

        const BindingFlags Plain = BindingFlags.DoNotWrapExceptions;

        MethodInfo Method(string name, string what, Type of)
        {
            if (serializer == null)
                throw new LambdaValidationException(
                    $"Could not find the LambdaSerializerAttribute {where} while attempting to {what} data of type '{of}'. To use types other than System.IO.Stream as input/output parameters, the assembly or Lambda function should be annotated with Amazon.Lambda.LambdaSerializerAttribute.");
            return type.GetMethod(name).MakeGenericMethod(of);
        }
    }
}
