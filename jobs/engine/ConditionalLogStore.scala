package sluice

import io.delta.storage.HadoopFileSystemLogStore
import java.lang.{Boolean => JBoolean}
import java.nio.charset.StandardCharsets.UTF_8
import java.nio.file.FileAlreadyExistsException
import java.util.{Iterator => JIterator}
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{FSDataOutputStream, FileSystem, Path}
import org.apache.hadoop.fs.s3a.RemoteFileChangedException

/** The log of Delta tables in an object store that several applications commit to: a version is put under the condition
  * that it does not exist.
  *
  * Delta's own store for S3 looks first and then writes, so that the later one of two would replace the other's commit.
  * S3A knows the condition as an option of `createFile` (HADOOP-19256).
  */
class ConditionalLogStore(configuration: Configuration) extends HadoopFileSystemLogStore(configuration) {

  override def write(path: Path, actions: JIterator[String], overwrite: JBoolean, at: Configuration): Unit = {
    val files = path.getFileSystem(at)
    val version = if (overwrite) files.create(path, true) else createIfAbsent(files, path)
    // What is not closed, because of an error before, does not become an object.
    actions.forEachRemaining(action => version.write(s"$action\n".getBytes(UTF_8)))
    try version.close()
    catch { case _: RemoteFileChangedException => throw new FileAlreadyExistsException(path.toString) }
  }

  override def isPartialWriteVisible(path: Path, at: Configuration): JBoolean = false

  private def createIfAbsent(files: FileSystem, path: Path): FSDataOutputStream =
    files.createFile(path).overwrite(true).must("fs.option.create.conditional.overwrite", true).build()
}
